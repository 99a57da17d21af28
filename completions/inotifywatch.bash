# bash completion for inotifywatch(1), fsnotifywait(1) and fsnotifywatch(1)  -*- shell-script -*-
#
# bash-completion looks for a file of the command's name; all of them are in the other one.

. "${BASH_SOURCE[0]%/*}/inotifywait.bash"
