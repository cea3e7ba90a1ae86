#compdef credhelper
# Completion of credhelper for zsh, after compinit: eval "$(credhelper completion zsh)"
_credhelper() {
    emulate -L zsh -o extended_glob
    local -a lines values shown
    local line first
    lines=("${(@f)$(command credhelper _complete zsh "${(Q)PREFIX}" "${(@Q)words[2,CURRENT-1]}" 2>/dev/null)}")
    case ${lines[1]} in
        (files)
            compset -P '--*='
            _files
            ;;
        (command\ *)
            first=$(( ${lines[1]#command } + 1 ))
            shift $first words
            (( CURRENT -= first ))
            _normal
            ;;
        (words)
            for line in "${(@)lines[2,-1]}"; do
                values+=("${line%%$'\t'*}")
                [[ $line == *$'\t'* ]] && line="${line%%$'\t'*}  -- ${line#*$'\t'}"
                shown+=("$line")
            done
            (( $#values )) || return 1
            compset -P '--*='
            if [[ "$values" == "$shown" ]]; then
                compadd -V credhelper -a values
            else
                compadd -V credhelper -l -d shown -a values
            fi
            ;;
    esac
}
if [[ ${funcstack[1]} == _credhelper ]]; then
    _credhelper "$@"
elif (( $+functions[compdef] )); then
    compdef _credhelper credhelper
else
    print -u2 "credhelper: its completion comes after: autoload -Uz compinit && compinit"
fi
