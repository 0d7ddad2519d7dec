#include "sim/page.h"

#include <algorithm>
#include <array>
#include <cmath>

#include <fmt/format.h>

#include "base/units.h"
#include "sim/internal/plot.h"

namespace busbar::sim {
namespace {

using internal::escape_html;
using internal::Line;
using internal::plot_bars;
using internal::plot_lines;

constexpr double kDayMs = 86'400'000;

constexpr std::string_view kHead = R"(<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width,initial-scale=1">
<title>busbar sim</title>
<style>
:root{color-scheme:light dark;--ink:#1b1f24;--dim:#667080;--line:#d9dee5;--card:#fff;--page:#f5f6f8}
@media (prefers-color-scheme:dark){:root{--ink:#e6e9ee;--dim:#98a2b1;--line:#343b46;--card:#1c2129;--page:#13161b}}
*{box-sizing:border-box}body{margin:0;background:var(--page);color:var(--ink);font:14px/1.5 system-ui,sans-serif}
main{max-width:1080px;margin:0 auto;padding:28px 20px 60px}h1{font-size:22px;margin:0 0 2px}
h2{font-size:15px;margin:0 0 10px}p{margin:0 0 18px;color:var(--dim)}
section{background:var(--card);border:1px solid var(--line);border-radius:8px;padding:16px 18px;margin:0 0 16px}
.scroll{overflow-x:auto}table{border-collapse:collapse;width:100%;font-variant-numeric:tabular-nums}
th,td{padding:5px 10px;text-align:right;white-space:nowrap}th{font-weight:600;color:var(--dim);font-size:12px}
td:first-child,th:first-child{text-align:left}tr+tr td{border-top:1px solid var(--line)}
svg{display:block;width:100%;height:auto}svg text{fill:var(--dim);font:11px system-ui,sans-serif}
.grid{stroke:var(--line);stroke-width:1}.axis{stroke:var(--dim);stroke-width:1}
.legend{display:flex;flex-wrap:wrap;gap:4px 18px;margin:8px 0 0;color:var(--dim);font-size:12px}
.legend i{display:inline-block;width:10px;height:10px;border-radius:2px;margin-right:6px}
.two{display:grid;grid-template-columns:repeat(auto-fit,minmax(460px,1fr));gap:16px}.two section{margin:0}
.two{margin:0 0 16px}
</style></head><body><main>
)";

std::string time_text(double seconds) {
  return format_duration_ms(static_cast<std::int64_t>(seconds * 1000));
}

std::string figures(std::span<const PageRun> runs) {
  std::string text =
      "<section><h2>Figures</h2><div class=\"scroll\"><table><tr><th>policy</th><th>finished</th><th>JCT mean</th>"
      "<th>p50</th><th>p99</th><th>wait mean</th><th>p50</th><th>p99</th><th>in "
      "use</th><th>useful</th><th>makespan</th>"
      "<th>preemptions a job</th></tr>";
  for (const PageRun& run : runs) {
    const RunSummary& s = run.summary;
    text += fmt::format(
        "<tr><td>{}</td><td>{} of {}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td>"
        "<td>{:.1f} %</td><td>{:.1f} %</td><td>{}</td><td>{:.2f}</td></tr>",
        escape_html(s.policy), s.finished, s.jobs, time_text(s.completion.mean_s), time_text(s.completion.p50_s),
        time_text(s.completion.p99_s), time_text(s.wait.mean_s), time_text(s.wait.p50_s), time_text(s.wait.p99_s),
        s.utilisation_percent, s.useful_percent, time_text(s.makespan_s), s.preemptions_per_job);
  }
  return text + "</table></div></section>\n";
}

Line line_of(std::string name, const TimeSeries& series, double scale) {
  Line line{.name = std::move(name)};
  const double span_days = static_cast<double>(series.span_ms()) / kDayMs;
  for (std::size_t i = 0; i < series.size(); ++i) {
    line.points.emplace_back((static_cast<double>(i) + 0.5) * span_days, series.mean(i) * scale);
  }
  return line;
}

std::string section(std::string_view title, std::string_view body) {
  return fmt::format("<section><h2>{}</h2>{}</section>\n", title, body);
}

/// One line a policy.
template <class Series>
std::string over_time(std::string_view title, std::string_view unit, std::span<const PageRun> runs, double top,
                      Series series) {
  std::vector<Line> lines;
  for (const PageRun& run : runs) {
    const auto [values, scale] = series(run.result);
    if (values->size() > 0) {
      lines.push_back(line_of(run.summary.policy, *values, scale));
    }
  }
  return lines.empty() ? std::string()
                       : section(title, plot_lines(lines, {.x_unit = "days", .y_unit = unit, .top = top}));
}

std::string waits_by_size(std::span<const PageRun> runs) {
  std::vector<std::string> groups;
  for (const GroupSummary& size : runs.front().summary.sizes) {
    groups.push_back(fmt::format("{}", size.cards));
  }
  std::vector<internal::Bars> bars;
  for (const PageRun& run : runs) {
    internal::Bars one{.name = run.summary.policy};
    for (const GroupSummary& size : run.summary.sizes) {
      one.values.push_back(size.wait.p99_s / 3600);
    }
    bars.push_back(std::move(one));
  }
  return section("Waits by size: p99 in hours, by cards of the gang", plot_bars(groups, bars));
}

std::string shares_by_queue(const Trace& trace, const PageRun& run) {
  constexpr std::size_t kShown = 8;
  std::vector<Line> lines;
  for (const GroupSummary& group : run.summary.queues) {
    const auto found = std::ranges::find(trace.queues, group.name);
    const auto index = static_cast<std::size_t>(found - trace.queues.begin());
    if (lines.size() < kShown) {
      lines.push_back(line_of(group.name, run.result.held_by_queue[index], 0.001));
    }
  }
  return section(fmt::format("Cards of each queue over time: {}", escape_html(run.summary.policy)),
                 plot_lines(lines, {.x_unit = "days", .y_unit = "cards"}));
}

}  // namespace

std::string make_page(const Trace& trace, std::span<const PageRun> runs) {
  std::string page(kHead);
  if (runs.empty()) {
    return page + "</main></body></html>\n";
  }
  const RunResult& first = runs.front().result;
  page += fmt::format("<h1>busbar sim</h1><p>{}: {} jobs of {} queues on {} cards</p>\n", escape_html(trace.name),
                      trace.jobs.size(), trace.queues.size(), first.capacity_milli / 1000);
  page += figures(runs);
  page += over_time("Cards in use", "%", runs, 100, [](const RunResult& result) {
    return std::pair(&result.held, 100 / static_cast<double>(result.capacity_milli));
  });
  page += "<div class=\"two\">";
  page += over_time("Cards asked for by jobs that wait", "cards", runs, 0,
                    [](const RunResult& result) { return std::pair(&result.waiting, 0.001); });
  page += over_time("Fragmentation: free cards on nodes in partial use", "% of all cards", runs, 0,
                    [](const RunResult& result) {
                      return std::pair(&result.stranded, 100 / static_cast<double>(result.capacity_milli));
                    });
  page += "</div>\n" + waits_by_size(runs);
  page += "<div class=\"two\">";
  for (const PageRun& run : runs) {
    page += shares_by_queue(trace, run);
  }
  return page + "</div></main></body></html>\n";
}

}  // namespace busbar::sim
