#include <fmt/format.h>

#include "base/json.h"
#include "base/text.h"
#include "chip/probe/internal/gemm_cuda.h"
#include "os/process.h"

namespace busbar::chip::probe {
namespace {

/// Arguments: device, milliseconds, precisions, the one GPU to show ("": all). Prints one JSON object a line.
constexpr std::string_view kScript = R"(
import json, os, sys, time
if sys.argv[4]:
    os.environ["CUDA_VISIBLE_DEVICES"] = sys.argv[4]
import torch

device, duration, wanted = sys.argv[1], float(sys.argv[2]) / 1000, sys.argv[3].split(",")
types = {"fp32": torch.float32, "tf32": torch.float32, "fp64": torch.float64, "fp16": torch.float16,
         "bf16": torch.bfloat16}
wait = torch.cuda.synchronize if device.startswith("cuda") else lambda: None

def once(a, b):
    begin = time.perf_counter()
    torch.matmul(a, b)
    wait()
    return time.perf_counter() - begin

for precision in wanted:
    try:
        if precision in ("tf32", "fp32") and device.startswith("cuda"):
            torch.backends.cuda.matmul.allow_tf32 = precision == "tf32"
        size = 256
        while True:
            a = torch.rand(size, size, device=device).to(types[precision])
            b = torch.rand(size, size, device=device).to(types[precision])
            if min(once(a, b), once(a, b)) > 0.02 or size >= 8192:
                break
            size *= 2
        runs = []
        while len(runs) < 5 or sum(runs) < duration:
            runs.append(once(a, b))
        seconds = sorted(runs)[len(runs) // 2]
        print(json.dumps({"precision": precision, "size": size, "gflops": int(2 * size ** 3 / seconds / 1e9),
                          "library": "PyTorch " + torch.__version__}), flush=True)
    except Exception as error:
        print(json.dumps({"precision": precision, "error": str(error)[:300]}), flush=True)
)";

}  // namespace

Result<GemmRun> measure_by_torch(const std::string& gpu_uuid, const MeasureOptions& options) {
  const std::string device = gpu_uuid.empty() ? "cpu" : "cuda:0";
  std::vector<std::string> precisions = options.precisions;
  if (precisions.empty()) {
    precisions = device == "cpu" ? std::vector<std::string>{"fp32", "fp64"}
                                 : std::vector<std::string>{"bf16", "fp16", "tf32", "fp32", "fp64"};
  }
  const auto limit_ms = 120'000 + static_cast<std::int64_t>(precisions.size()) * 4 * options.duration_ms;
  TRY_ASSIGN(const os::CommandResult result,
             os::run_command({options.python, "-c", std::string(kScript), device, std::to_string(options.duration_ms),
                              join(precisions, ","), gpu_uuid},
                             {.timeout = std::chrono::milliseconds(limit_ms)}));
  if (!result.is_success()) {
    const std::string_view text = trim(result.stderr_text);
    return make_error(ErrorCode::kUnsupported, fmt::format("{} cannot measure with PyTorch", options.python),
                      std::string(text.substr(text.rfind('\n') == std::string_view::npos ? 0 : text.rfind('\n') + 1)));
  }
  GemmRun run;
  for (const std::string_view line : split(result.stdout_text, '\n')) {
    const auto json = parse_json(line);
    if (!json || !(*json)["precision"].is_string()) continue;
    const std::string precision = (*json)["precision"].as_string();
    if ((*json)["error"].is_string()) {
      run.problems.push_back({.path = precision, .message = (*json)["error"].as_string()});
    } else if ((*json)["gflops"].as_int() > 0) {
      run.results.push_back({.precision = precision,
                             .gflops = (*json)["gflops"].as_int(),
                             .size = (*json)["size"].as_int(),
                             .library = (*json)["library"].as_string()});
    }
  }
  return run;
}

}  // namespace busbar::chip::probe
