// Scalar SSE2: an escape-time fractal in doubles.
#include <stdio.h>

int main(void)
{
    long total = 0;
    for (int y = 0; y < 200; y++)
        for (int x = 0; x < 200; x++) {
            double cr = x / 100.0 - 1.5, ci = y / 100.0 - 1.0, r = 0, i = 0;
            int n = 0;
            while (n < 1500 && r * r + i * i < 4.0) {
                double t = r * r - i * i + cr;
                i = 2 * r * i + ci;
                r = t;
                n++;
            }
            total += n;
        }
    printf("%ld\n", total);
    return total == 0;
}
