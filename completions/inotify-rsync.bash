# bash completion for inotify-rsync(1)   -*- shell-script -*-
#
# Only options are offered: bash completes file names (-o default).

_inotify_rsync()
{
    COMPREPLY=()
    # After `--` there are only SRC and DEST.
    [[ $2 == -* && " ${COMP_WORDS[*]:1:COMP_CWORD-1} " != *' -- '* ]] || return
    local word
    for word in -c --config --password-file --exclude --exclude-from --ignore --settle --max-delay --full-every \
        --max-batch --no-delete --log --once --dry-run --rsync-opt -v --verbose -h --help -V --version; do
        [[ $word != "$2"* ]] || COMPREPLY+=("$word")
    done
}
complete -F _inotify_rsync -o default inotify-rsync
