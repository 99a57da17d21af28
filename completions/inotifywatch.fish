# fish completion for inotifywatch(1)
#
# fish looks for a file of the command's name; both commands are in the other one.

source (status dirname)/inotifywait.fish
