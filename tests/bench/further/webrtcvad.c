/* WebRTC's detector of voices, in fixed-point arithmetic: frames of 20 ms at 16 kHz of noise and hum, loud and soft. */
#include "webrtc/common_audio/signal_processing/include/signal_processing_library.h"
#include "webrtc/common_audio/vad/vad_core.h"

#include "work.h"

enum { SAMPLES = 320, FRAMES = 3 };

static VadInstT detector;
static int16_t frames[FRAMES][SAMPLES];

static void make_frame(int16_t *frame, uint32_t number) {
    int32_t level = 0, slope = 0;
    uint32_t noise = number * 2654435761u;
    int32_t loud = number == 0 ? 64 : 2048;
    for (int i = 0; i < SAMPLES; i++) {
        noise = noise * 1664525 + 1013904223;
        slope -= level >> 5;
        level += slope >> 1;
        if (level > loud || level < -loud || (level | slope) == 0)
            level = loud, slope = loud >> 3;
        frame[i] = (int16_t)(level + (int32_t)(noise >> 24) - 128);
    }
}

/* What WebRtcSpl_Init() calls, undeclared where there are no threads. */
int once(void (*function)(void)) {
    function();
    return 0;
}

uint32_t run(uint32_t n) {
    uint32_t sum;
    WebRtcSpl_Init();
    sum = (uint32_t)WebRtcVad_InitCore(&detector);
    for (uint32_t i = 0; i < FRAMES; i++)
        make_frame(frames[i], i);
    for (uint32_t i = 0; i < n; i++)
        sum = sum * 7 + (uint32_t)WebRtcVad_CalcVad16khz(&detector, frames[i % FRAMES], SAMPLES);
    return mix(sum, &detector, sizeof detector);
}
