/* getopt_long(3) as an oracle for many command lines in one process; see getopt.rs.
 *
 * The table comes as arguments: the short options as getopt wants them, then per long option its
 * name, ':' in front if it takes a value. stdin is lines' words, each ended by a NUL: how many,
 * "P" for POSIXLY_CORRECT or "", then the words. stdout, for each line: the canonical words, each
 * ended by a newline and a NUL, then a dot and the error, if any, ended by NUL NUL. */
#define _GNU_SOURCE
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static char *word(void)
{
	char *text = NULL;
	size_t size = 0;
	return getdelim(&text, &size, '\0', stdin) < 0 ? NULL : text;
}

int main(int argc, char **argv)
{
	const char *letters = argv[1];
	int count = argc - 2, at;
	struct option *table = calloc(count + 1, sizeof *table);
	for (at = 0; at < count; at++) {
		int value = argv[at + 2][0] == ':';
		table[at] = (struct option){argv[at + 2] + value, value, NULL, 1000 + at};
	}
	for (char *number; (number = word());) {
		int words = atoi(number);
		char **line = calloc(words + 2, sizeof *line);
		int met, index;
		char *error = NULL;
		size_t size;

		if (*word())
			setenv("POSIXLY_CORRECT", "", 1);
		else
			unsetenv("POSIXLY_CORRECT");
		line[0] = "NAME";
		for (at = 1; at <= words; at++)
			line[at] = word();
		stderr = open_memstream(&error, &size);
		optind = 0;
		while ((met = getopt_long(words + 1, line, letters, table, &index)) != -1 && met != '?') {
			if (met >= 1000)
				printf("--%s", table[met - 1000].name);
			else
				printf("-%c", met);
			if (optarg)
				printf("=%s", optarg);
			printf("\n%c", 0);
			optarg = NULL;
		}
		if (met == -1)
			for (; optind <= words; optind++)
				printf("%s\n%c", line[optind], 0);
		fclose(stderr);
		printf(".%s%c%c", error, 0, 0);
	}
	return 0;
}
