#pragma once

#include <gtest/gtest.h>

#include <chrono>
#include <string_view>
#include <thread>

#include "gateway/gateway.h"

namespace busbar::gateway::testing {

/// Waits until `/metrics` holds `line`, 20 s at most: a peer has its answer, alert or end a moment before the
/// gateway's thread counts it, and no event tells when it has.
inline ::testing::AssertionResult comes_to_show(const Gateway& gateway, std::string_view line) {
  const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(20);
  while (gateway.metrics_text().find(line) == std::string::npos) {
    if (std::chrono::steady_clock::now() > end) {
      return ::testing::AssertionFailure() << "no " << line << "in\n" << gateway.metrics_text();
    }
    std::this_thread::yield();
  }
  return ::testing::AssertionSuccess();
}

}  // namespace busbar::gateway::testing
