# fish completion for inotifywait(1), inotifywatch(1) and their other names
#
# The lists between the comments are made by `make generate`.

function __inotify_tools_names
    # generated: events
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
        lsdir\t'a directory was read: access, on directories only'
    # end of generated
end

# The events for the end of a list, each after the events that are already in it.
function __inotify_tools_events
    set -l word (commandline -ct | string replace -r '^(--event=|-[^-e]*e)' '')
    set -l before (string match -r '^.*,' -- $word; or echo)
    printf '%s\n' $before(__inotify_tools_names)
end

# The events that have a column, and their sum: one is a key.
function __inotify_tools_keys
    echo total\t'the sum of all columns'
    # generated: keys
    __inotify_tools_names | string match -rv '^(close|move|lsdir)\t'
    # end of generated
end

function __inotify_tools_excluded
    __fish_complete_path (commandline -ct | string replace -r '^@' '') | string replace -r '^' @
end

set -l wait -c inotifywait -c fsnotifywait
set -l watch -c inotifywatch -c fsnotifywatch
set -l both $wait $watch
complete $both -n 'string match -q "@*" -- (commandline -ct)' -a '(__inotify_tools_excluded)'
# generated: options
complete $both -s h -l help -d 'Print this help and exit'
complete $both -s e -l event -x -a '(__inotify_tools_events)' -d 'Report only these events (default: all)'
complete $both -s r -l recursive -d 'Also watch all directories below'
complete $both -s I -l inotify -d 'Watch with inotify'
complete $both -s F -l fanotify -d 'Watch with fanotify'
complete $both -s S -l filesystem -d 'Watch whole file systems (fanotify, as root)'
complete $both -s M -l mount -d 'Watch whole mounts (fanotify, as root)'
complete $both -s P -l no-dereference -d 'Watch symbolic links, not their targets'
complete $both -l fromfile -r -F -d 'Read paths from this file (\'-\': stdin)'
complete $both -l exclude -x -d 'Exclude paths that match; the last one counts'
complete $both -l excludei -x -d 'Like --exclude, ignoring case'
complete $both -l include -x -d 'Exclude paths that do not match'
complete $both -l includei -x -d 'Like --include, ignoring case'
complete $both -l ignore -x -d 'Ignore paths that match (gitignore syntax)'
complete $both -l ignore-file -r -F -d 'Read such patterns from this file'
complete $both -l gitignore -d 'Ignore what git ignores, and .git'
complete $both -l max-depth -x -d 'With -r, report at most N levels below a path'
complete $both -l type -x -a 'file dir' -d 'Report only events on files, or directories'
complete $both -l json -d 'Print JSON, one object per line'
complete $both -l ready -x -a 'systemd' -d 'Signal that all watches are established'
complete $both -s V -l version -d 'Print the version and exit'
complete $wait -s m -l monitor -d 'Continue after the first event'
complete $wait -s q -l quiet -d 'Suppress status messages; -qq also events'
complete $wait -s t -l timeout -x -d 'Exit with 2 after this long without an event'
complete $wait -s c -l csv -d 'Print each event as comma-separated values'
complete $wait -s d -l daemon -d 'Run in the background; implies -ms, needs -o'
complete $wait -s s -l syslog -d 'Send messages to syslog instead of stderr'
complete $wait -l format -x -d 'Print events in this format; see the manual'
complete $wait -l no-newline -d 'Print no newline after each event'
complete $wait -l timefmt -x -d 'Print %T of --format like this: strftime(3)'
complete $wait -s o -l outfile -r -F -d 'Append events to this file'
complete $wait -l follow-name -d 'Watch names: paths may be absent or replaced'
complete $wait -l until -x -a 'exists gone' -d 'Exit as soon as all paths exist, or none does'
complete $wait -l debounce -x -d 'Gather events until none comes for this long'
complete $wait -l max-delay -x -d 'Print a batch after this long at the latest'
complete $wait -l batch-marker -d 'Print an empty record after each batch'
complete $wait -s 0 -l print0 -d 'End each record with NUL instead of newline'
complete $watch -s t -l timeout -x -d 'Print the table and exit after this long'
complete $watch -s v -l verbose -d 'Print each step of the setup'
complete $watch -s z -l zero -d 'Also print rows and columns of zeros'
complete $watch -s a -l ascending -x -a '(__inotify_tools_keys)' -d 'Sort by an event or \'total\', least first'
complete $watch -s d -l descending -x -a '(__inotify_tools_keys)' -d 'Sort by an event or \'total\', most first'
complete $watch -l interval -x -d 'Also print a table each time this has passed'
complete $watch -l top -x -d 'Print at most this many rows'
complete $watch -l limits -d 'Print inotify\'s limits and who uses them'
# end of generated
