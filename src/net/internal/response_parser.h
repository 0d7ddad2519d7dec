#pragma once

#include <cstddef>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "base/error.h"
#include "net/http.h"

namespace busbar::net {

/// Reads one answer from the bytes of a connection (Beast's parser), however they are cut. 1xx answers before it are
/// passed over. Knows no sockets. Not thread-safe.
class ResponseParser {
 public:
  enum class State { kHead, kBody, kComplete, kFailed };
  struct Options {
    bool is_head_request = false;                    ///< The answer to HEAD has no body.
    std::optional<std::size_t> max_body_bytes = {};  ///< Of an answer that says its length; "kFailed" beyond.
  };
  explicit ResponseParser(Options options);
  ~ResponseParser();

  State feed(std::string_view bytes);
  /// The connection has ended: the end of some answers, the failure of others.
  State finish();
  State state() const;

  /// Status and headers; once the state is beyond kHead.
  const HttpResponse& head() const;
  /// What has come of the body since the last call.
  std::string take_body();
  /// After kComplete: the connection may carry another request, and nothing came behind the answer.
  bool may_reuse() const;
  bool has_begun() const;  ///< Any byte has come.
  bool is_too_big() const;
  std::string failure() const;  ///< After kFailed, in Beast's words.

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace busbar::net
