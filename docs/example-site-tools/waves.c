/* Plays two minutes of sea and a bell buoy into a WAV file.
 *
 *   waves >waves.wav
 *
 * The waves are noise through two low-pass filters, whose loudness and
 * brightness swell and fall; the bell is five decaying sines, struck as the
 * buoy happens to roll. The noise has a fixed seed: each run gives the same
 * bytes.
 */
#include <math.h>
#include <stdint.h>
#include <stdio.h>

enum { RATE = 22050, SECONDS = 120, SAMPLE_COUNT = RATE * SECONDS, PARTIAL_COUNT = 5 };

static const float TURN = 6.2831853f;

static float noise(void)
{
    static uint32_t state = 20261118;
    state ^= state << 13;
    state ^= state >> 17;
    state ^= state << 5;
    return (float)(int32_t)state / 2147483648.0f;
}

/* One wave rolls in, breaks and runs out: 0 to 1 and back, breaking quickly. */
static float breaker(float second, float period, float offset)
{
    float phase = fmodf(second + offset, period) / period;
    return phase < 0.35f ? powf(phase / 0.35f, 3) : powf((1 - phase) / 0.65f, 2);
}

static float sea(float second)
{
    static float dark[2], bright[2];
    static float loud_left, loud_run;
    static int until_update;
    if (--until_update <= 0) { /* the swell is slow: ask for it now and then */
        until_update = 32;
        loud_left = breaker(second, 9.7f, 0) * (0.7f + 0.3f * sinf(second * 0.21f));
        loud_run = breaker(second, 13.3f, 5) * (0.7f + 0.3f * sinf(second * 0.13f + 2));
    }
    float white = noise();
    dark[0] += 0.020f * (white - dark[0]);
    dark[1] += 0.030f * (dark[0] - dark[1]);
    bright[0] += (0.10f + 0.25f * loud_left) * (white - bright[0]);
    bright[1] += 0.25f * (white - bright[1]);
    return dark[1] * (1.6f + 1.5f * loud_left) + bright[0] * 0.16f * loud_left + (bright[1] - dark[0]) * 0.10f * loud_run;
}

static float bell(int now)
{
    static const float ratio[PARTIAL_COUNT] = { 0.5f, 1, 1.19f, 1.5f, 2.02f }, seconds[PARTIAL_COUNT] = { 3.8f, 2.9f, 1.9f, 1.3f, 0.8f };
    static float loud[PARTIAL_COUNT], phase[PARTIAL_COUNT];
    static int strike_at = RATE * 2;
    if (now == strike_at) {
        float force = 0.035f + 0.03f * fabsf(noise());
        for (int i = 0; i < PARTIAL_COUNT; i++)
            loud[i] += force;
        strike_at = now + (int)((float)RATE * (2.2f + 3.5f * fabsf(noise())));
    }
    float sum = 0;
    for (int i = 0; i < PARTIAL_COUNT; i++) {
        phase[i] = fmodf(phase[i] + ratio[i] * 587.0f * TURN / RATE, TURN);
        loud[i] *= 1 - 1 / (seconds[i] * RATE);
        sum += loud[i] * sinf(phase[i]);
    }
    return sum;
}

static void put_little(uint32_t value, int bytes)
{
    for (; bytes--; value >>= 8)
        putchar((int)(value & 255));
}

int main(void)
{
    fputs("RIFF", stdout), put_little(36 + SAMPLE_COUNT * 2, 4);
    fputs("WAVEfmt ", stdout), put_little(16, 4);
    put_little(1, 2), put_little(1, 2); /* PCM, one channel */
    put_little(RATE, 4), put_little(RATE * 2, 4), put_little(2, 2), put_little(16, 2);
    fputs("data", stdout), put_little(SAMPLE_COUNT * 2, 4);
    for (int i = 0; i < SAMPLE_COUNT; i++) {
        float second = (float)i / RATE;
        float fade = fminf(1, fminf(second, SECONDS - second) / 2);
        float x = fade * (sea(second) + bell(i));
        put_little((uint32_t)(int32_t)(32767 * (x > 1 ? 1 : x < -1 ? -1 : x)), 2);
    }
    return fflush(stdout) || ferror(stdout);
}
