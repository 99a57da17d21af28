# fish completion for inotifywatch(1), fsnotifywait(1) and fsnotifywatch(1)
#
# fish looks for a file of the command's name; all of them are in the other one.

source (status dirname)/inotifywait.fish
