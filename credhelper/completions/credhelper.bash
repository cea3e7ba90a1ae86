# Completion of credhelper for bash: eval "$(credhelper completion bash)"
_credhelper() {
    local line kind=
    COMPREPLY=()
    # Not mapfile: bash 3.2, which macOS has, knows none.
    while IFS= read -r line; do
        if [[ -z $kind ]]; then kind=$line; else COMPREPLY+=("$line"); fi
    done < <(command credhelper _complete bash "${COMP_LINE:0:$COMP_POINT}" "$2" "${COMP_TYPE-}" 2>/dev/null)
    case $kind in
        files)
            if type compopt &>/dev/null; then compopt -o default; fi
            ;;
        command\ *)
            # bash breaks words at "=" and ":" too: the program's is the one that ends behind where it begins.
            local rest=$COMP_LINE first=0
            while
                rest=${rest#*"${COMP_WORDS[first]}"}
                ((first < COMP_CWORD && ${#COMP_LINE} - ${#rest} <= ${kind#command }))
            do
                ((first++))
            done
            if type _comp_command_offset &>/dev/null; then
                _comp_command_offset "$first"
            elif type _command_offset &>/dev/null; then
                _command_offset "$first"
            elif ((COMP_CWORD <= first)); then
                while IFS= read -r line; do COMPREPLY+=("$line"); done < <(compgen -c -- "$2")
            elif type compopt &>/dev/null; then
                compopt -o default
            fi
            ;;
        *)
            # Their order is kept where bash can: what was used last comes first.
            if type compopt &>/dev/null; then compopt -o nosort 2>/dev/null; fi
            ;;
    esac
}
complete -F _credhelper credhelper
