// x87: planets in long double, built with -mfpmath=387.
#include <stdio.h>

struct body { long double x, y, z, vx, vy, vz, m; };

static long double root(long double v)
{
    __asm__("fsqrt" : "+t"(v));
    return v;
}

int main(void)
{
    struct body b[5];
    for (int i = 0; i < 5; i++)
        b[i] = (struct body){ i * 3.1L, i * 1.7L - 2, i * 0.3L, 0.01L * i, 0.02L, -0.01L * i, 1.0L / (i + 1) };
    for (int n = 0; n < 60000; n++) {
        for (int i = 0; i < 5; i++)
            for (int j = i + 1; j < 5; j++) {
                long double dx = b[i].x - b[j].x, dy = b[i].y - b[j].y, dz = b[i].z - b[j].z;
                long double d2 = dx * dx + dy * dy + dz * dz, mag = 0.001L / (d2 * root(d2));
                b[i].vx -= dx * b[j].m * mag, b[i].vy -= dy * b[j].m * mag, b[i].vz -= dz * b[j].m * mag;
                b[j].vx += dx * b[i].m * mag, b[j].vy += dy * b[i].m * mag, b[j].vz += dz * b[i].m * mag;
            }
        for (int i = 0; i < 5; i++)
            b[i].x += 0.001L * b[i].vx, b[i].y += 0.001L * b[i].vy, b[i].z += 0.001L * b[i].vz;
    }
    printf("%.15Lf\n", b[0].x);
    return 0;
}
