// A management library for one GPU that is not there: GpuState's calls get numbers that the tests know. Ten watts.
#include <chrono>
#include <cstring>

extern "C" {

int nvmlInit_v2() { return 0; }
int nvmlShutdown() { return 0; }
int nvmlDeviceGetHandleByIndex_v2(unsigned index, void** gpu) {
    static int one = 0;
    *gpu = &one;
    return index == 0 ? 0 : 2;
}
int nvmlDeviceGetTotalEnergyConsumption(void*, unsigned long long* millijoules) {
    const auto now = std::chrono::steady_clock::now().time_since_epoch();
    *millijoules =
        static_cast<unsigned long long>(std::chrono::duration_cast<std::chrono::microseconds>(now).count() / 100);
    return 0;
}
int nvmlDeviceGetClockInfo(void*, int which, unsigned* mhz) {
    *mhz = which == 1 ? 1980 : 3201;
    return 0;
}
int nvmlDeviceGetEnforcedPowerLimit(void*, unsigned* milliwatts) {
    *milliwatts = 700'000;
    return 0;
}
int nvmlDeviceGetUUID(void*, char* text, unsigned size) {
    std::strncpy(text, "GPU-0123", size);
    return 0;
}
int nvmlSystemGetDriverVersion(char* text, unsigned size) {
    std::strncpy(text, "580.65", size);
    return 0;
}
int nvmlDeviceGetEccMode(void*, unsigned* now, unsigned* pending) {
    *now = 1;
    *pending = 0;
    return 0;
}
int nvmlDeviceGetMigMode(void*, unsigned*, unsigned*) { return 3; }  // not supported
int nvmlDeviceGetCurrentClocksThrottleReasons(void*, unsigned long long* reasons) {
    *reasons = 0x1 | 0x4 | 0x40;  // idle, power limit, heat
    return 0;
}
}
