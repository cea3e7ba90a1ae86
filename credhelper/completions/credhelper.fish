# Completion of credhelper for fish: credhelper completion fish | source
function __credhelper_complete
    # fish 4 has another word for what -o was: the words, without their quotes
    set -l before (commandline -xpc 2>/dev/null; or commandline -opc)
    set -l current (commandline -ct)
    set -l lines (command credhelper _complete fish "$current" $before[2..-1] 2>/dev/null)
    switch "$lines[1]"
        case files
            __fish_complete_path (string replace -r '^--[^=]*=' '' -- "$current")
        case 'command *'
            set -l first (math (string split ' ' -- $lines[1])[2] + 2)
            set -l program (string escape -- $before[$first..-1]) "$current"
            complete -C "$program"
        case words
            for line in $lines[2..-1]
                echo -- $line
            end
    end
end
complete -c credhelper -f -k -a '(__credhelper_complete)'
