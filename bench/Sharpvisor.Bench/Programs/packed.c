// Packed SSE2: products of 4-float vectors over two arrays, and integer mixing of the same vectors.
#include <emmintrin.h>
#include <stdio.h>

static float a[4096] __attribute__((aligned(16))), b[4096] __attribute__((aligned(16)));

int main(void)
{
    for (int i = 0; i < 4096; i++) {
        a[i] = i * 0.001f;
        b[i] = 1.0f - i * 0.0001f;
    }
    __m128 sum = _mm_setzero_ps();
    __m128i mix = _mm_setzero_si128();
    for (int round = 0; round < 40000; round++)
        for (int i = 0; i < 4096; i += 8) {
            __m128 x = _mm_load_ps(a + i), y = _mm_load_ps(b + i);
            __m128 z = _mm_load_ps(a + i + 4), w = _mm_load_ps(b + i + 4);
            sum = _mm_add_ps(sum, _mm_add_ps(_mm_mul_ps(x, y), _mm_mul_ps(z, w)));
            mix = _mm_add_epi32(_mm_xor_si128(mix, _mm_castps_si128(x)), _mm_slli_epi32(_mm_castps_si128(w), 3));
        }
    float f[4];
    int n[4];
    _mm_storeu_ps(f, sum);
    _mm_storeu_si128((__m128i *)n, mix);
    printf("%g %d\n", f[0] + f[1] + f[2] + f[3], n[0] ^ n[1] ^ n[2] ^ n[3]);
    return 0;
}
