# bash completion for inotifywait(1), inotifywatch(1) and their other names   -*- shell-script -*-
#
# Requires only bash. If the bash-completion package is installed, it loads this file on the first use. For a
# value that is a file nothing is offered here, and bash completes the name (-o default): it handles quotes,
# `~` and spaces. The lists between the comments are made by `make generate`.

_inotify_tools()
{
    local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD - 1]}
    local option='' head='' words='' files='' letters valued word
    # generated: lists
    local events='access modify attrib close_write close_nowrite close open moved_to moved_from move move_self
                create delete delete_self unmount lsdir'
    local keys='total access modify attrib close_write close_nowrite open moved_to moved_from move_self create
                delete delete_self unmount'
    local options='-h --help -e --event -r --recursive -I --inotify -F --fanotify -S --filesystem -M --mount
                -P --no-dereference --fromfile --exclude --excludei --include --includei --ignore
                --ignore-file --gitignore --max-depth --type --json --ready -V --version'
    case ${1##*/} in
        *watch)
            letters=etad
            valued=' event fromfile exclude excludei include includei ignore ignore-file max-depth type ready
                timeout ascending descending interval top '
            options+=' -t --timeout -v --verbose -z --zero -a --ascending -d --descending --interval --top
                --limits'
            ;;
        *)
            letters=eto
            valued=' event fromfile exclude excludei include includei ignore ignore-file max-depth type ready
                timeout format timefmt outfile until debounce max-delay '
            options+=' -m --monitor -q --quiet -t --timeout -c --csv -d --daemon -s --syslog --format
                --no-newline --timefmt -o --outfile --follow-name --until --debounce --max-delay
                --batch-marker -0 --print0'
            ;;
    esac
    # end of generated
    COMPREPLY=()

    # After `--` there are only paths.
    for word in "${COMP_WORDS[@]:1:COMP_CWORD-1}"; do
        [[ $word == -- ]] && return
    done

    # The option whose value is completed: a word of its own, the text before `=`, or a letter directly before
    # the value. bash splits `--event=create` into three words if COMP_WORDBREAKS contains `=`, the default.
    local cluster="^(-[^-$letters]*([$letters]))(.*)$"
    if [[ $2 == @* ]]; then
        # The word to complete; in COMP_WORDS, the `@` may be a word of its own.
        option=--outfile head=@ cur=${2#@}
    elif [[ $cur == = ]]; then
        option=$prev cur=''
    elif [[ $prev == = ]] && ((COMP_CWORD > 2)); then
        option=${COMP_WORDS[COMP_CWORD - 2]}
    elif [[ $prev =~ $cluster && -z ${BASH_REMATCH[3]} ]]; then
        option=-${BASH_REMATCH[2]}
    elif [[ $prev == --* && $valued == *[[:space:]]"${prev#--}"[[:space:]]* ]]; then
        option=$prev
    elif [[ $cur == --*=* ]]; then
        option=${cur%%=*} head=$option= cur=${cur#*=}
    elif [[ $cur =~ $cluster ]]; then
        option=-${BASH_REMATCH[2]} head=${BASH_REMATCH[1]} cur=${BASH_REMATCH[3]}
    fi

    case $option in
        '')
            case $cur in
                -*) option=options ;;
                *) return ;;
            esac
            ;;
        -e | --event)
            [[ $cur == *,* ]] && head+=${cur%,*}, cur=${cur##*,}
            ;;
    esac
    case $option in
        # generated: values
        --fromfile | -o | --outfile | --ignore-file) files=1 ;;
        -e | --event) words=$events ;;
        -a | --ascending | -d | --descending) words=$keys ;;
        --until) words='exists gone' ;;
        --type) words='file dir' ;;
        --ready) words='systemd' ;;
        # end of generated
        options) words=$options ;;
    esac
    if [[ $files ]]; then
        # Alone in its word, a name is better completed by bash itself.
        [[ $head ]] || return
        # bash would quote the `@`, and not know the word for its own at the next tab.
        compopt -o filenames -o noquote 2>/dev/null
        while IFS= read -r word; do
            [[ -d $word ]] && word+=/
            printf -v word %q "$word"
            COMPREPLY+=("$head$word")
        done < <(compgen -f -- "$cur")
        [[ ${#COMPREPLY[@]} == 1 && $COMPREPLY == */ ]] && compopt -o nospace 2>/dev/null
    else
        COMPREPLY=($(compgen -P "$head" -W "$words" -- "$cur"))
    fi
    # Otherwise bash would offer files.
    ((${#COMPREPLY[@]})) || compopt +o default 2>/dev/null
} &&
    complete -o default -F _inotify_tools inotifywait inotifywatch fsnotifywait fsnotifywatch
