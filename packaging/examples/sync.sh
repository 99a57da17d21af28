#!/bin/bash
# Keeps DEST, a module of an rsync daemon, the same as the directory SRC. Needs inotifywait of inotify-tools-rs (5.0 or
# later) and rsync.
set -o pipefail
unset TMOUT                      # which would also end `read`
SRC='/data/www/'                 # the directory to copy: mind the slash at the end
DEST='tom@10.0.0.12::backup'     # the backup server: user, host, module
LOG='/var/log/changelist.log'
EXCLUDE='*.swp'                  # a pattern that means the same to rsync and to gitignore(5)

# rsync compares all of SRC with DEST, and is tried again until it succeeds. Status 24 means that a file was deleted in
# the meantime, which inotifywait reports. --modify-window=-1 finds a second change within the same second.
backup() {
    until rsync -az --delete --modify-window=-1 --exclude="$EXCLUDE" --password-file=/etc/rsync.pas \
        "$SRC" "$DEST" </dev/null || (($? == 24)); do sleep 10; done
}

# inotifywait prints a batch when nothing has changed for 1 second, or after 10 seconds: the date, the time and the path
# of each change, then an empty record. Each record ends with a NUL, which no file name contains. While rsync runs,
# inotifywait gathers the next batch. The first newline, by --ready, means that the watches are established.
# The slash after each path protects a name that ends with a space from read; %/ removes that slash. The log has the same
# words for every change, also for a deletion.
inotifywait -mrq -0 --debounce 1 --max-delay 10 --batch-marker --ready 1 --ignore "$EXCLUDE" \
    --timefmt '%Y-%m-%d %H:%M:%S' --format '%T %w%f/' -e create,delete,modify,move,close_write,attrib -- "$SRC" | {
    read -r && backup
    FILES=()
    while IFS=' ' read -r -d '' DATE TIME FILEPATH; do
        if [[ $DATE ]]; then
            FILES+=("At ${TIME} on ${DATE}, file ${FILEPATH%/} was backuped up via rsync")
        else
            backup && printf '%s\n' "${FILES[@]//[[:cntrl:]]/?}" >>"$LOG"
            FILES=()
        fi
    done
}
