// One byte to and fro between two processes.
#include <stdlib.h>
#include <unistd.h>

int main(int argc, char **argv)
{
    int there[2], back[2], rounds = atoi(argv[argc - 1]);
    char byte = 0;
    if (pipe(there) || pipe(back))
        return 1;
    int child = fork() == 0;
    for (int i = 0; i < rounds; i++) {
        if (child ? read(there[0], &byte, 1) != 1 || write(back[1], &byte, 1) != 1
                  : write(there[1], &byte, 1) != 1 || read(back[0], &byte, 1) != 1)
            return 1;
    }
    return 0;
}
