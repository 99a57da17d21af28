# bash completion for inotifywatch(1)                                    -*- shell-script -*-
#
# bash-completion looks for a file of the command's name; both commands are in the other one.

. "${BASH_SOURCE[0]%/*}/inotifywait.bash"
