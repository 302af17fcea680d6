// A chain of pointers in random order through 64 MiB.
#include <stdio.h>
#include <stdlib.h>

int main(void)
{
    enum { Count = 1 << 20 };
    struct node { struct node *next; long pad[7]; } *n = malloc(Count * sizeof *n);
    unsigned *order = malloc(Count * sizeof *order);
    unsigned long seed = 1;
    for (unsigned i = 0; i < Count; i++)
        order[i] = i;
    for (unsigned i = Count - 1; i > 0; i--) {
        seed = seed * 6364136223846793005UL + 1442695040888963407UL;
        unsigned j = (seed >> 33) % (i + 1), t = order[i];
        order[i] = order[j], order[j] = t;
    }
    for (unsigned i = 0; i < Count; i++)
        n[order[i]].next = &n[order[(i + 1) % Count]];
    struct node *p = n;
    for (unsigned i = 0; i < 6u << 20; i++)
        p = p->next;
    printf("%ld\n", (long)(p - n));
    return 0;
}
