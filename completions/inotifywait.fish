# fish completion for inotifywait(1), inotifywatch(1) and their other names

function __inotify_tools_names
    printf '%s\n' \
        access\t'the contents of a file or directory were read' \
        modify\t'the contents of a file were written or truncated' \
        attrib\t'permissions, owner, times, links or xattrs changed' \
        close_write\t'closed after being open for writing' \
        close_nowrite\t'closed after being open for reading only' \
        close\t'closed: close_write and close_nowrite' \
        open\t'a file or directory was opened' \
        moved_to\t'an entry was renamed into a watched directory' \
        moved_from\t'an entry was renamed out of a watched directory' \
        move\t'renamed in or out: moved_to and moved_from' \
        move_self\t'the watched file or directory itself was renamed' \
        create\t'an entry was created in a watched directory' \
        delete\t'an entry was deleted from a watched directory' \
        delete_self\t'the watched file or directory itself was deleted' \
        unmount\t'the file system of a watched path was unmounted' \
        lsdir\t'the contents of a directory were read: access, directories only'
end

# The words for the end of a list: what stands before the last comma is kept.
function __inotify_tools_events
    set -l word (commandline -ct | string replace -r '^(--event=|-[^-e]*e)' '')
    set -l before (string match -r '^.*,' -- $word; or echo)
    printf '%s\n' $before(__inotify_tools_names)
end

# The events that have a column, and their sum: one is a key.
function __inotify_tools_keys
    echo total\t'the sum of all columns'
    __inotify_tools_names | string match -rv '^(close|move|lsdir)\t'
end

function __inotify_tools_excluded
    __fish_complete_path (commandline -ct | string replace -r '^@' '') | string replace -r '^' @
end

set -l wait -c inotifywait -c fsnotifywait
set -l watch -c inotifywatch -c fsnotifywatch
set -l both $wait $watch
complete $both -s h -l help -d 'Print a summary of options and events'
complete $both -s e -l event -x -a '(__inotify_tools_events)' -d 'Only these events'
complete $both -s r -l recursive -d 'Watch what is below the directories, too'
complete $both -s I -l inotify -d 'Watch with inotify'
complete $both -s F -l fanotify -d 'Watch with fanotify'
complete $both -s S -l filesystem -d 'Watch whole file systems by fanotify, as root'
complete $both -s M -l mount -d 'Watch whole mounts by fanotify, as root'
complete $both -s P -l no-dereference -d 'Watch symbolic links, not what they point to'
complete $both -l fromfile -r -F -d 'Read paths from this file, one a line'
complete $both -l exclude -x -d 'Leave out paths that match'
complete $both -l excludei -x -d 'The same, in any case of letters'
complete $both -l include -x -d 'Leave out paths that do not match'
complete $both -l includei -x -d 'The same, in any case of letters'
complete $both -l type -x -a 'file dir' -d 'Only events on files, or on directories'
complete $both -l json -d 'Print JSON, one object per line'
complete $both -l ready -x -a systemd -d 'Signal that all watches are established'
complete $both -s V -l version -d 'Print the version'
complete $both -n 'string match -q "@*" -- (commandline -ct)' -a '(__inotify_tools_excluded)'

complete $wait -s t -l timeout -x -d 'Give up after so long without an event'
complete $wait -s m -l monitor -d 'Go on after the first event'
complete $wait -s q -l quiet -d 'No word about the set-up; twice: no events either'
complete $wait -s c -l csv -d 'Print each event as comma-separated values'
complete $wait -s d -l daemon -d 'Monitor in the background'
complete $wait -s s -l syslog -d 'Errors go to syslog'
complete $wait -l format -x -d 'Print each event like this'
complete $wait -l no-newline -d 'Print nothing after what --format says'
complete $wait -l timefmt -x -d 'strftime format of %T in --format'
complete $wait -l debounce -x -d 'Gather events until none has come for this long'
complete $wait -l max-delay -x -d 'Print a batch after this long at the latest'
complete $wait -l batch-marker -d 'Print an empty record after each batch'
complete $wait -s 0 -l print0 -d 'End each record with NUL instead of newline'
complete $wait -s o -l outfile -r -F -d 'Append the events to this file'

complete $watch -l interval -x -d 'Print a table each time this has passed'
complete $watch -l top -x -d 'Print at most this many rows'
complete $watch -l limits -d "Show inotify's limits and the processes that use them"
complete $watch -s t -l timeout -x -d 'Print the table after so long'
complete $watch -s v -l verbose -d 'Say what is being done'
complete $watch -s z -l zero -d 'List rows and columns that counted nothing, too'
complete $watch -s a -l ascending -x -a '(__inotify_tools_keys)' -d 'Sort by this column, least first'
complete $watch -s d -l descending -x -a '(__inotify_tools_keys)' -d 'Sort by this column, most first'
