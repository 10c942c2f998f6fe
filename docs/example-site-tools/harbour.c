/* Draws a dawn over Brinsö harbour: one still, or a film of thirty seconds.
 *
 *   harbour still WIDTH HEIGHT SECOND >picture.ppm
 *   harbour film >harbour.mp4
 *
 * The film is there to be big and to be playable by a browser, from a program
 * that anyone can read. So each frame is H.264 without compression (I_PCM
 * macroblocks, baseline profile): no codec is needed to make it, every frame
 * is a key frame of the same size, and seeking lands exactly. The clock in the
 * corner shows where it landed. Luma and chroma stay within 16..240, so no
 * start code can occur inside the samples and none has to be escaped.
 */
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    FILM_WIDTH = 320, FILM_HEIGHT = 176, /* whole macroblocks, so no cropping */
    FRAMES_PER_SECOND = 10, SECONDS = 30, FRAME_COUNT = FRAMES_PER_SECOND * SECONDS
};

/* ---- the picture ------------------------------------------------------- */

typedef struct { float r, g, b; } Colour;

static float clamp01(float x) { return x < 0 ? 0 : x > 1 ? 1 : x; }

static float smooth(float from, float to, float x)
{
    x = clamp01((x - from) / (to - from));
    return x * x * (3 - 2 * x);
}

static Colour mix(Colour a, Colour b, float t)
{
    return (Colour){ a.r + (b.r - a.r) * t, a.g + (b.g - a.g) * t, a.b + (b.b - a.b) * t };
}

static Colour add(Colour a, Colour b, float t)
{
    return (Colour){ a.r + b.r * t, a.g + b.g * t, a.b + b.b * t };
}

static float hash(int x, int y)
{
    uint32_t h = (uint32_t)x * 374761393u + (uint32_t)y * 668265263u;
    h = (h ^ (h >> 13)) * 1274126177u;
    return (float)((h ^ (h >> 16)) & 0xffff) / 65535.0f;
}

/* x runs from 0 to WIDE, y from 0 (top) to 1. */
#define WIDE 1.8182f
static const float HORIZON = 0.60f, SUN_X = 1.18f, TOWER_X = 0.42f, LAMP_Y = 0.285f;

/* What a frame needs that does not depend on the pixel. */
typedef struct {
    float second, dawn, sun_y, beam, flash, boat_x, pixel;
    Colour zenith, low, hill_far, hill_near, ink;
} Scene;

static Scene scene_at(float second, float pixel)
{
    Scene s = { .second = second, .pixel = pixel };
    float turn = second * 6.2832f / 5; /* two flashes in ten seconds */
    s.dawn = clamp01(second / SECONDS);
    s.sun_y = HORIZON + 0.16f - 0.21f * s.dawn;
    s.beam = cosf(turn);
    s.flash = powf(fmaxf(0, sinf(turn)), 24) * (1 - 0.6f * s.dawn);
    s.boat_x = 0.60f + 0.019f * second;
    float early = smooth(0, 0.55f, s.dawn), late = smooth(0.45f, 1, s.dawn);
    s.zenith = mix(mix((Colour){ .045f, .075f, .13f }, (Colour){ .17f, .27f, .41f }, early), (Colour){ .43f, .60f, .74f }, late);
    s.low = mix(mix((Colour){ .13f, .19f, .27f }, (Colour){ .83f, .55f, .46f }, early), (Colour){ .98f, .84f, .66f }, late);
    s.ink = mix((Colour){ .03f, .05f, .08f }, (Colour){ .10f, .14f, .19f }, s.dawn);
    s.hill_far = mix(s.low, s.ink, 0.45f);
    s.hill_near = mix(s.low, s.ink, 0.72f);
    return s;
}

/* How much of a pixel lies below a line at height `edge`. */
static float below(const Scene *s, float y, float edge) { return clamp01((y - edge) / s->pixel + 0.5f); }

static float box(const Scene *s, float x, float y, float left, float right, float top, float bottom)
{
    return below(s, x, left) * below(s, -x, -right) * below(s, y, top) * below(s, -y, -bottom);
}

static float disc(const Scene *s, float x, float y, float cx, float cy, float radius)
{
    return clamp01((radius - hypotf(x - cx, y - cy)) / s->pixel + 0.5f);
}

static Colour sky(const Scene *s, float x, float y)
{
    float height = clamp01(y / HORIZON);
    Colour c = mix(s->zenith, s->low, height * height * height);
    float away = hypotf((x - SUN_X) * 0.8f, y - s->sun_y);
    c = add(c, (Colour){ 1, .62f, .30f }, 0.55f * s->dawn * expf(-5.5f * away));
    /* Long thin clouds: stripes of a slow wave, strongest near the horizon. */
    float band = sinf(y * 46 + 1.7f * sinf(x * 2.1f + 0.02f * s->second) + 0.6f * sinf(x * 5.3f));
    float cloud = smooth(0.35f, 1, band) * smooth(0.12f, 0.45f, y) * smooth(-0.2f, 0.7f, sinf(x * 1.6f + y * 9 + 0.4f));
    c = mix(c, mix(s->hill_far, (Colour){ 1, .74f, .60f }, smooth(0.25f, 0.9f, s->dawn)), 0.42f * cloud);
    return add(c, (Colour){ 1, .90f, .68f }, 0.9f * disc(s, x, y, SUN_X, s->sun_y, 0.042f));
}

static Colour hills(const Scene *s, Colour c, float x, float y)
{
    float far = HORIZON - 0.035f - 0.022f * sinf(x * 2.7f + 0.6f) - 0.010f * sinf(x * 7.1f) - 0.003f * sinf(x * 29);
    c = mix(c, s->hill_far, below(s, y, far));
    float near = HORIZON - 0.055f + 0.085f * smooth(0.30f, 0.86f, x)
        - 0.045f * smooth(0.55f, 0.25f, x) - 0.005f * sinf(x * 23) - 0.003f * sinf(x * 61);
    return mix(c, s->hill_near, below(s, y, near));
}

static Colour land(const Scene *s, Colour c, float x, float y)
{
    if (y > HORIZON - 0.15f)
        c = hills(s, c, x, y);
    if (x > TOWER_X + 0.05f)
        return c;
    /* Keeper's house: walls, roof, one lit window. */
    float roof = 0.478f + 0.55f * fabsf(x - 0.215f);
    c = mix(c, s->ink, box(s, x, y, 0.150f, 0.280f, 0.512f, 0.58f));
    c = mix(c, s->ink, below(s, y, roof) * below(s, -y, -0.516f) * box(s, x, y, 0.140f, 0.290f, 0, 1));
    c = mix(c, (Colour){ 1, .80f, .42f }, (0.9f - 0.7f * s->dawn) * box(s, x, y, 0.238f, 0.256f, 0.528f, 0.550f));
    /* The tower, tapering, with its red band and its lantern. */
    float half = 0.020f + 0.028f * (y - LAMP_Y);
    float lit = 0.42f + 0.50f * s->dawn, shade = 1 - 0.35f * clamp01((TOWER_X - x) / half);
    Colour white = { lit * shade, lit * shade * 0.98f, lit * shade * 0.95f };
    Colour red = { 0.62f * lit * shade, 0.16f * lit * shade, 0.15f * lit * shade };
    float tower = box(s, x, y, TOWER_X - half, TOWER_X + half, LAMP_Y + 0.025f, 0.56f);
    c = mix(c, mix(white, red, box(s, x, y, 0, 1, 0.385f, 0.445f)), tower);
    c = mix(c, s->ink, box(s, x, y, TOWER_X - 0.030f, TOWER_X + 0.030f, LAMP_Y + 0.022f, LAMP_Y + 0.032f));
    c = mix(c, s->ink, box(s, x, y, TOWER_X - 0.014f, TOWER_X + 0.014f, LAMP_Y - 0.030f, LAMP_Y + 0.025f));
    c = mix(c, s->ink, disc(s, x, y, TOWER_X, LAMP_Y - 0.028f, 0.014f));
    return mix(c, (Colour){ 1, .93f, .72f }, 0.85f * box(s, x, y, TOWER_X - 0.010f, TOWER_X + 0.010f, LAMP_Y - 0.016f, LAMP_Y + 0.016f));
}

/* The mole with its green light, and the boat going out. */
static Colour works(const Scene *s, Colour c, float x, float y)
{
    float top = 0.632f + 0.006f * hash((int)(x * 60), 3);
    c = mix(c, s->ink, below(s, y, top) * below(s, -y, -0.668f) * below(s, x, 1.46f - 0.4f * (0.668f - y)));
    c = mix(c, s->ink, box(s, x, y, 1.488f, 1.500f, 0.565f, 0.64f));
    float green = fmodf(s->second, 3) < 1 ? 1.0f : 0.25f;
    c = mix(c, (Colour){ .35f, .95f, .62f }, green * disc(s, x, y, 1.494f, 0.560f, 0.009f));
    float heave = 0.004f * sinf(s->second * 2.1f), bx = x - s->boat_x, by = y - heave;
    float hull = box(s, bx, by, -0.052f + 0.5f * (by - 0.685f), 0.060f - 0.9f * (by - 0.685f), 0.685f, 0.706f);
    c = mix(c, s->ink, hull);
    c = mix(c, s->ink, box(s, bx, by, -0.036f, -0.004f, 0.658f, 0.690f));
    c = mix(c, s->ink, box(s, bx, by, 0.013f, 0.0165f, 0.605f, 0.690f));
    c = mix(c, (Colour){ 1, .85f, .5f }, 0.8f * box(s, bx, by, -0.028f, -0.012f, 0.664f, 0.674f));
    return mix(c, (Colour){ 1, .97f, .88f }, disc(s, bx, by, 0.0148f, 0.603f, 0.0055f));
}

static Colour water(const Scene *s, float x, float y)
{
    float depth = (y - HORIZON) / (1 - HORIZON), t = s->second;
    /* Waves get longer and taller towards the viewer. */
    float near = 1 / (depth + 0.07f);
    float swell = sinf(near * 11 + x * 3 + t * 1.3f) + 0.6f * sinf(near * 19 - x * (6 + 3 * depth) - t * 1.9f)
        + 0.5f * sinf(x * 17 * (1.2f - depth) + near * 27 + t * 2.3f);
    float mirror_y = HORIZON - (y - HORIZON) * 0.9f + 0.035f * swell * (0.25f + depth);
    Colour c = sky(s, x + 0.012f * swell * depth, mirror_y < 0 ? 0 : mirror_y > HORIZON ? HORIZON : mirror_y);
    Colour deep = mix((Colour){ .03f, .06f, .09f }, (Colour){ .12f, .25f, .31f }, s->dawn);
    c = mix(c, deep, 0.34f + 0.38f * depth + 0.05f * swell);
    /* Lights on the water: the sun's road, the lamp's, and the boat's. */
    float road = 0.035f + 0.17f * depth, dx = (x - SUN_X) / road;
    float crest = smooth(0.3f, 1.5f, swell);
    c = add(c, (Colour){ 1, .72f, .42f }, 0.75f * smooth(0.45f, 0.95f, s->dawn) * expf(-dx * dx) * (0.25f + crest));
    dx = (x - TOWER_X) / (0.02f + 0.05f * depth);
    c = add(c, (Colour){ 1, .92f, .7f }, (0.16f + 0.6f * s->flash) * (1 - 0.7f * s->dawn) * expf(-dx * dx) * (0.2f + crest));
    dx = (x - s->boat_x - 0.0148f) / (0.006f + 0.03f * depth);
    return add(c, (Colour){ 1, .92f, .75f }, 0.35f * (1 - 0.5f * s->dawn) * expf(-dx * dx) * crest * smooth(0.24f, 0.3f, depth));
}

static Colour pixel_at(const Scene *s, float x, float y)
{
    Colour c;
    if (y < HORIZON) {
        c = sky(s, x, y);
        if (y > LAMP_Y - 0.06f)
            c = land(s, c, x, y);
    } else {
        c = water(s, x, y);
    }
    if (y > 0.54f && y < 0.73f)
        c = works(s, c, x, y);
    /* The beam: a wedge to either side, seen as long as it is turned from us. */
    float dx = x - TOWER_X, side = s->beam < 0 ? -dx : dx;
    if (side > 0.012f && y < HORIZON) {
        float across = (y - LAMP_Y) / (0.012f + 0.085f * side);
        c = add(c, (Colour){ 1, .93f, .74f }, 0.36f * (1 - 0.92f * s->dawn) * fabsf(s->beam) * expf(-across * across - 1.5f * side / (0.2f + fabsf(s->beam))));
    }
    float glow = hypotf(dx, y - LAMP_Y);
    c = add(c, (Colour){ 1, .92f, .72f }, (0.18f * (1 - s->dawn) + 0.9f * s->flash) * expf(-glow * 22));
    float corner = hypotf((x / WIDE - 0.5f), y - 0.5f);
    return mix(c, (Colour){ 0, 0, 0 }, 0.35f * corner * corner);
}

static Colour with_stars(const Scene *s, Colour c, int column, int row, float y)
{
    if (y > HORIZON - 0.16f || hash(column, row) < 0.9982f)
        return c;
    float twinkle = 0.6f + 0.4f * sinf(s->second * 3 + (float)column);
    return add(c, (Colour){ .8f, .85f, .95f }, 0.7f * twinkle * hash(row, column) * (1 - smooth(0.1f, 0.5f, s->dawn)));
}

/* The clock: 05:20:00 and a minute for every second of film. Three by five dots. */
static int clock_dot(float second, int column, int row)
{
    static const uint16_t digits[] = { 075557, 026227, 071747, 071717, 055711, 074717, 074757, 071244, 075757, 075717 };
    int minutes = 5 * 60 + 20 + (int)second, tenths = (int)(second * 10 + 0.5f) % 10 * 6;
    int shown[8] = { minutes / 600, minutes / 60 % 10, -1, minutes % 60 / 10, minutes % 10, -1, tenths / 10, tenths % 10 };
    int place = column / 4, dot = column % 4;
    if (column < 0 || row < 0 || row > 4 || place > 7 || dot == 3)
        return 0;
    if (shown[place] < 0)
        return dot == 1 && (row == 1 || row == 3);
    return digits[shown[place]] >> ((4 - row) * 3 + (2 - dot)) & 1;
}

static void draw(float *rgb, int width, int height, float second, int with_clock)
{
    Scene s = scene_at(second, 1.0f / (float)height);
    for (int row = 0; row < height; row++)
        for (int column = 0; column < width; column++) {
            float x = ((float)column + 0.5f) * WIDE / (float)width, y = ((float)row + 0.5f) / (float)height;
            Colour c = with_stars(&s, pixel_at(&s, x, y), column, row, y);
            if (with_clock && clock_dot(second, column - 10, row - height + 15))
                c = (Colour){ .93f, .95f, .96f };
            *rgb++ = clamp01(c.r);
            *rgb++ = clamp01(c.g);
            *rgb++ = clamp01(c.b);
        }
}

static void still(int width, int height, float second)
{
    float *rgb = malloc((size_t)width * (size_t)height * 3 * sizeof *rgb);
    if (!rgb)
        exit(1);
    draw(rgb, width, height, second, 0);
    printf("P6\n%d %d\n255\n", width, height);
    for (int i = 0; i < width * height * 3; i++)
        putchar((int)(rgb[i] * 255 + 0.5f));
    free(rgb);
}

/* ---- the film ---------------------------------------------------------- */

enum {
    BLOCKS_WIDE = FILM_WIDTH / 16, BLOCKS_HIGH = FILM_HEIGHT / 16,
    /* length, NAL header, slice header with the first block's type, samples
     * with the other blocks' types, trailing bits */
    FRAME_BYTES = 4 + 1 + 4 + BLOCKS_WIDE * BLOCKS_HIGH * (384 + 2) - 2 + 1
};

typedef struct { uint8_t bytes[2048]; size_t bits; } Bits;

static void put_bits(Bits *b, unsigned value, int count)
{
    while (count--) {
        if (value >> count & 1)
            b->bytes[b->bits / 8] |= (uint8_t)(0x80 >> b->bits % 8);
        b->bits++;
    }
}

/* Exp-Golomb code, ITU-T H.264 section 9.1. */
static void put_ue(Bits *b, unsigned value)
{
    int length = 0;
    while ((value + 1) >> (length + 1))
        length++;
    put_bits(b, 0, length);
    put_bits(b, value + 1, length + 1);
}

static void put_bytes(const Bits *b) { fwrite(b->bytes, 1, (b->bits + 7) / 8, stdout); }

static void put_block(const float *rgb, int left, int top)
{
    uint8_t samples[384], *luma = samples, *blue = samples + 256, *red = samples + 320;
    for (int y = 0; y < 16; y++)
        for (int x = 0; x < 16; x++) {
            const float *p = rgb + ((top + y) * FILM_WIDTH + left + x) * 3;
            *luma++ = (uint8_t)(16.5f + 65.48f * p[0] + 128.55f * p[1] + 24.97f * p[2]);
        }
    for (int y = 0; y < 16; y += 2)
        for (int x = 0; x < 16; x += 2) {
            const float *p = rgb + ((top + y) * FILM_WIDTH + left + x) * 3, *q = p + FILM_WIDTH * 3;
            float r = (p[0] + p[3] + q[0] + q[3]) / 4, g = (p[1] + p[4] + q[1] + q[4]) / 4, b = (p[2] + p[5] + q[2] + q[5]) / 4;
            *blue++ = (uint8_t)(128.5f - 37.80f * r - 74.20f * g + 112.0f * b);
            *red++ = (uint8_t)(128.5f + 112.0f * r - 93.79f * g - 18.21f * b);
        }
    fwrite(samples, 1, sizeof samples, stdout);
}

static void put_frame(const float *rgb, int index)
{
    Bits head = { .bits = 0 };
    put_bits(&head, FRAME_BYTES - 4, 32);
    put_bits(&head, 0x65, 8);               /* an IDR slice */
    put_ue(&head, 0);                       /* first macroblock */
    put_ue(&head, 7);                       /* all slices are I */
    put_ue(&head, 0);                       /* picture parameter set */
    put_bits(&head, 0, 4);                  /* frame_num */
    put_ue(&head, (unsigned)index & 1);     /* idr_pic_id: neighbours differ */
    put_bits(&head, 0, 2);                  /* reference marking */
    put_ue(&head, 0);                       /* slice_qp_delta */
    put_ue(&head, 1);                       /* no deblocking */
    put_ue(&head, 25);                      /* I_PCM; zero bits to the byte's end */
    put_bytes(&head);
    for (int block = 0; block < BLOCKS_WIDE * BLOCKS_HIGH; block++) {
        if (block)
            fwrite("\x0d\x00", 1, 2, stdout); /* I_PCM again, aligned */
        put_block(rgb, block % BLOCKS_WIDE * 16, block / BLOCKS_WIDE * 16);
    }
    putchar(0x80);
}

static Bits sequence_parameters(void)
{
    Bits b = { .bits = 0 };
    put_bits(&b, 0x6742c01e, 32);           /* NAL header, constrained baseline, level 3.0 */
    put_ue(&b, 0), put_ue(&b, 0);           /* its id, log2_max_frame_num - 4 */
    put_ue(&b, 2), put_ue(&b, 1);           /* output order is decoding order, one reference */
    put_bits(&b, 0, 1);
    put_ue(&b, BLOCKS_WIDE - 1), put_ue(&b, BLOCKS_HIGH - 1);
    put_bits(&b, 0x0c, 4);                  /* frames only, 8x8 inference, no cropping, no VUI */
    put_bits(&b, 1, 1);
    return b;
}

static Bits picture_parameters(void)
{
    Bits b = { .bits = 0 };
    put_bits(&b, 0x68, 8);
    put_ue(&b, 0), put_ue(&b, 0);           /* its id, its sequence */
    put_bits(&b, 0, 2), put_ue(&b, 0);      /* CAVLC, one slice group */
    put_ue(&b, 0), put_ue(&b, 0);           /* reference counts */
    put_bits(&b, 0, 3);                     /* no weights */
    put_ue(&b, 0), put_ue(&b, 0), put_ue(&b, 0); /* qp, qs, chroma offset */
    put_bits(&b, 4, 3);                     /* deblocking can be switched off per slice */
    put_bits(&b, 1, 1);
    return b;
}

/* An MP4 box is a length, a name and a body: open_box, write, close_box. */
static size_t open_box(Bits *b, const char *name)
{
    size_t start = b->bits / 8;
    put_bits(b, 0, 32);
    for (int i = 0; i < 4; i++)
        put_bits(b, (unsigned char)name[i], 8);
    return start;
}

static void close_box(Bits *b, size_t start)
{
    size_t length = b->bits / 8 - start;
    for (int i = 0; i < 4; i++)
        b->bytes[start + (size_t)i] = (uint8_t)(length >> (24 - 8 * i));
}

static void put_words(Bits *b, int count, const uint32_t *words)
{
    for (int i = 0; i < count; i++)
        put_bits(b, words[i], 32);
}

#define WORDS(b, ...) put_words(b, (int)(sizeof((uint32_t[]){ __VA_ARGS__ }) / 4), (uint32_t[]){ __VA_ARGS__ })
#define MATRIX 0x10000, 0, 0, 0, 0x10000, 0, 0, 0, 0x40000000

static void put_parameter_set(Bits *b, Bits set)
{
    put_bits(b, (unsigned)((set.bits + 7) / 8), 16);
    for (size_t i = 0; i < (set.bits + 7) / 8; i++)
        put_bits(b, set.bytes[i], 8);
}

static void put_sample_table(Bits *b, uint32_t first_frame_at)
{
    size_t stbl = open_box(b, "stbl"), stsd = open_box(b, "stsd");
    WORDS(b, 0, 1);
    size_t avc1 = open_box(b, "avc1");
    WORDS(b, 0, 1, 0, 0, 0, 0, FILM_WIDTH << 16 | FILM_HEIGHT, 0x480000, 0x480000, 0, 1 << 16, 0, 0, 0, 0, 0, 0, 0);
    put_bits(b, 0, 16);
    put_bits(b, 0x0018ffff, 32); /* 24 bits deep; no colour table */
    size_t avcc = open_box(b, "avcC");
    put_bits(b, 0x0142c01e, 32);
    put_bits(b, 0xffe1, 16);
    put_parameter_set(b, sequence_parameters());
    put_bits(b, 1, 8);
    put_parameter_set(b, picture_parameters());
    close_box(b, avcc), close_box(b, avc1), close_box(b, stsd);
    size_t stts = open_box(b, "stts");
    WORDS(b, 0, 1, FRAME_COUNT, 1);
    close_box(b, stts);
    size_t stsc = open_box(b, "stsc");
    WORDS(b, 0, 1, 1, FRAME_COUNT, 1);
    close_box(b, stsc);
    size_t stsz = open_box(b, "stsz");
    WORDS(b, 0, FRAME_BYTES, FRAME_COUNT);
    close_box(b, stsz);
    size_t stco = open_box(b, "stco");
    WORDS(b, 0, 1, first_frame_at);
    close_box(b, stco), close_box(b, stbl);
}

static Bits film_head(uint32_t first_frame_at)
{
    Bits b = { .bits = 0 };
    size_t ftyp = open_box(&b, "ftyp");
    WORDS(&b, 0x69736f6d, 0x200, 0x69736f6d, 0x61766331); /* isom, avc1 */
    close_box(&b, ftyp);
    size_t moov = open_box(&b, "moov"), mvhd = open_box(&b, "mvhd");
    WORDS(&b, 0, 0, 0, FRAMES_PER_SECOND, FRAME_COUNT, 0x10000, 0x1000000, 0, 0, MATRIX, 0, 0, 0, 0, 0, 0, 2);
    close_box(&b, mvhd);
    size_t trak = open_box(&b, "trak"), tkhd = open_box(&b, "tkhd");
    WORDS(&b, 3, 0, 0, 1, 0, FRAME_COUNT, 0, 0, 0, 0, MATRIX, FILM_WIDTH << 16, FILM_HEIGHT << 16);
    close_box(&b, tkhd);
    size_t mdia = open_box(&b, "mdia"), mdhd = open_box(&b, "mdhd");
    WORDS(&b, 0, 0, 0, FRAMES_PER_SECOND, FRAME_COUNT, 0x55c40000); /* no language */
    close_box(&b, mdhd);
    size_t hdlr = open_box(&b, "hdlr");
    WORDS(&b, 0, 0, 0x76696465, 0, 0, 0); /* vide */
    put_bits(&b, 0, 8);
    close_box(&b, hdlr);
    size_t minf = open_box(&b, "minf"), vmhd = open_box(&b, "vmhd");
    WORDS(&b, 1, 0, 0);
    close_box(&b, vmhd);
    size_t dinf = open_box(&b, "dinf"), dref = open_box(&b, "dref");
    WORDS(&b, 0, 1);
    size_t url = open_box(&b, "url ");
    WORDS(&b, 1); /* the frames are in this file */
    close_box(&b, url), close_box(&b, dref), close_box(&b, dinf);
    put_sample_table(&b, first_frame_at);
    close_box(&b, minf), close_box(&b, mdia), close_box(&b, trak), close_box(&b, moov);
    put_bits(&b, 8 + FRAME_BYTES * FRAME_COUNT, 32);
    for (int i = 0; i < 4; i++)
        put_bits(&b, (unsigned char)"mdat"[i], 8);
    return b;
}

static void film(void)
{
    static float rgb[FILM_WIDTH * FILM_HEIGHT * 3];
    /* The head says where the frames begin, which is where the head ends. */
    Bits head = film_head(0);
    head = film_head((uint32_t)(head.bits / 8));
    put_bytes(&head);
    for (int i = 0; i < FRAME_COUNT; i++) {
        draw(rgb, FILM_WIDTH, FILM_HEIGHT, (float)i / FRAMES_PER_SECOND, 1);
        put_frame(rgb, i);
    }
}

int main(int argc, char **argv)
{
    if (argc == 2 && !strcmp(argv[1], "film"))
        film();
    else if (argc == 5 && !strcmp(argv[1], "still") && atoi(argv[2]) > 0 && atoi(argv[3]) > 0)
        still(atoi(argv[2]), atoi(argv[3]), (float)atof(argv[4]));
    else
        return fputs("usage: harbour film | harbour still WIDTH HEIGHT SECOND\n", stderr), 2;
    return fflush(stdout) || ferror(stdout);
}
