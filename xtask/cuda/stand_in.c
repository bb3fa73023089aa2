/* The library behind stand_in.S, opened at the first call of one of its functions.
 *
 * LIBRARY is its file name, MISSING what its functions answer where it is not on the machine: so a program
 * that was built for a GPU starts without one, and is told that there is none. */

#define _GNU_SOURCE
#include <dlfcn.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BUILTINS "libnvrtc-builtins.so.13.0"

extern void *SLOTS[] __attribute__((visibility("hidden")));

static const char *const names[] = {
#include "names.inc"
};

/* Where libraries lie that the loader does not find by itself. */
static const char *const folders[] = {
    "/usr/local/nvidia/lib64", "/usr/local/cuda/lib64", "/usr/local/cuda/targets/x86_64-linux/lib",
    "/usr/lib/x86_64-linux-gnu",
};

static void *library;
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void try_in(const char *folder, size_t length)
{
    char path[4096];
    int written = snprintf(path, sizeof path, "%.*s/%s", (int)length, folder, LIBRARY);
    if (library || length == 0 || written <= 0 || (size_t)written >= sizeof path)
        return;
    /* NVRTC opens this one by its name alone, which the loader finds only if it is open already. */
    if (strncmp(LIBRARY, "libnvrtc.so", 11) == 0) {
        char builtins[4096];
        snprintf(builtins, sizeof builtins, "%.*s/" BUILTINS, (int)length, folder);
        dlopen(builtins, RTLD_LAZY | RTLD_GLOBAL);
    }
    library = dlopen(path, RTLD_LAZY | RTLD_GLOBAL);
}

static void open_library(void)
{
    library = dlopen(LIBRARY, RTLD_LAZY | RTLD_GLOBAL);
    /* Folders with colons between them. */
    const char *more = getenv("DEEPSIM_CUDA_LIBRARIES");
    while (more && *more) {
        size_t length = strcspn(more, ":");
        try_in(more, length);
        more += length + (more[length] == ':');
    }
    for (size_t i = 0; i < sizeof folders / sizeof *folders; i++)
        try_in(folders[i], strlen(folders[i]));
    if (getenv("DEEPSIM_CUDA_DEBUG"))
        fprintf(stderr, "%s: %s\n", LIBRARY, library ? "opened" : "not found");
}

static long missing(void) { return MISSING; }

static const char *missing_text(void) { return LIBRARY " is not on this machine"; }

__attribute__((visibility("hidden"))) void *LOOKUP(unsigned index)
{
    const char *name = names[index];
    pthread_once(&once, open_library);
    void *function = library ? dlsym(library, name) : NULL;
    if (!function) {
        if (library)
            fprintf(stderr, "%s has no function %s: it is too old for this program\n", LIBRARY, name);
        /* Those that return texts; the driver's write them to an address. */
        int text = (strstr(name, "String") || strstr(name, "StatusName")) && strncmp(name, "cuGet", 5) != 0;
        function = text ? (void *)missing_text : (void *)missing;
    }
    __atomic_store_n(&SLOTS[index], function, __ATOMIC_RELEASE);
    return function;
}
