// fork + exec + wait of itself.
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

int main(int argc, char **argv)
{
    if (argc > 2)
        return 0;
    for (int i = atoi(argv[1]); i > 0; i--) {
        pid_t child = fork();
        if (child == 0) {
            execl(argv[0], argv[0], "0", "child", (char *)0);
            _exit(1);
        }
        waitpid(child, 0, 0);
    }
    return 0;
}
