/* peak COMMAND ARGUMENT…: runs the command and prints the peak of its resident memory in bytes on standard output, which the
 * command itself gets as standard error. Its exit code is passed on; 125 = it could not be run or died of a signal.
 * SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

int main(int argc, char **argv)
{
    if (argc < 2) return 125;
    const pid_t child = fork();
    if (child == 0) {
        dup2(STDERR_FILENO, STDOUT_FILENO);
        execvp(argv[1], argv + 1);
        _exit(125);
    }
    int status;
    struct rusage use;
    if (child < 0 || wait4(child, &status, 0, &use) != child || !WIFEXITED(status)) return 125;
    printf("%lld\n", (long long)use.ru_maxrss * 1024);
    return WEXITSTATUS(status);
}
