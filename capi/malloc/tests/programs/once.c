// Allocates once, and says what that costs: resident and writable memory, in KiB.
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

// Prints without a stream: that would allocate.
static long status_kib(const char *text, const char *name) {
    const char *line = strstr(text, name);
    return line ? atol(line + strlen(name)) : -1;
}

int main(void) {
    char *object = malloc(100);
    if (!object) return 1;
    strcpy(object, "once");
    static char text[4096], said[128];
    int file = open("/proc/self/status", O_RDONLY);
    if (read(file, text, sizeof text - 1) <= 0) return 1;
    const char *const names[] = { "RssAnon:", "RssFile:", "VmData:" };
    for (int i = 0; i < 3; i++) {
        long value = status_kib(text, names[i]);
        snprintf(said + strlen(said), sizeof said - strlen(said), "%ld ", value);
    }
    if (write(1, said, strlen(said)) < 0) return 1;
    free(object);
    return 0;
}
