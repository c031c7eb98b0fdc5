/* An init that reports what it was given: arguments, environment, descriptors, signals, relatives. Then it becomes the
   start script of the tests, which reports on the rest of the machine. */

#define _GNU_SOURCE
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <sys/klog.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static void texts(const char *section, char **texts)
{
    printf("== %s\n", section);
    for (; *texts; texts++)
        puts(*texts);
}

static void descriptors(void)
{
    puts("== descriptors");
    for (int fd = 0; fd < 1024; fd++) {
        char link[32], target[256];
        sprintf(link, "/proc/self/fd/%d", fd);
        ssize_t length = readlink(link, target, sizeof target);
        if (length >= 0)
            printf("%d %.*s\n", fd, (int)length, target);
    }
}

static void signals(void)
{
    sigset_t blocked, pending;
    sigprocmask(SIG_BLOCK, NULL, &blocked);
    sigpending(&pending);
    puts("== signals");
    for (int number = 1; number < NSIG; number++) {
        struct sigaction action;
        if (sigismember(&blocked, number) == 1)
            printf("blocked %d\n", number);
        if (sigismember(&pending, number) == 1)
            printf("pending %d\n", number);
        if (sigaction(number, NULL, &action) == 0 && action.sa_handler != SIG_DFL)
            printf("not default %d\n", number);
    }
}

static void process(void)
{
    char directory[256];
    mode_t mask = umask(0);
    umask(mask);
    puts("== process");
    printf("pid %d, parent %d\n", getpid(), getppid());
    printf("directory %s, umask %03o\n", getcwd(directory, sizeof directory), mask);
    puts(waitpid(-1, NULL, WNOHANG) == -1 && errno == ECHILD ? "no child" : "a child");
}

int main(int count, char **arguments, char **environment)
{
    (void)count;
    /* The kernel's messages would tear the report's lines apart: console level 1. */
    klogctl(8, NULL, 1);
    puts(MARKER);
    texts("argv", arguments);
    texts("envp", environment);
    descriptors();
    signals();
    process();
    puts("== start script");
    fflush(stdout);
    execl("/etc/rc", "/etc/rc", (char *)NULL);
    return 1;
}
