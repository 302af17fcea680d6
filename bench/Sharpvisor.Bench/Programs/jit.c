// What a just-in-time compiler does: writes functions, runs each a few hundred times, writes others over them.
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

int main(void)
{
    unsigned char *code = mmap(0, 1 << 20, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    unsigned long sum = 0;
    for (unsigned round = 0; round < 40; round++) {
        for (unsigned f = 0; f < 256; f++) {
            // lea rax, [rdi + imm32]; twenty times imul rax, rax, imm32; xor rax, imm32; ret
            unsigned char *p = code + f * 512;
            unsigned imm = round * 2654435761u + f;
            memcpy(p, "\x48\x8d\x87", 3), memcpy(p + 3, &imm, 4), p += 7;
            for (int i = 0; i < 20; i++) {
                imm = imm * 69069 + 1;
                unsigned odd = imm | 1;
                memcpy(p, "\x48\x69\xc0", 3), memcpy(p + 3, &odd, 4), memcpy(p + 7, "\x48\x35", 2), memcpy(p + 9, &imm, 4), p += 13;
            }
            *p = 0xC3;
        }
        for (int run = 0; run < 600; run++)
            for (unsigned f = 0; f < 256; f++)
                sum += ((unsigned long (*)(unsigned long))(code + f * 512))(sum + run);
    }
    printf("%lx\n", sum);
    return 0;
}
