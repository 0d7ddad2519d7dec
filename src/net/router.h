#pragma once

#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "net/http.h"

namespace busbar::net {

struct RouteMatch {
  enum class Outcome {
    kFound,
    kNotFound,          ///< No pattern has this path.
    kMethodNotAllowed,  ///< One has, with other methods; see `allow`.
    kOptions,           ///< OPTIONS without a route of its own; answer 204 with `allow`.
  };
  Outcome outcome = Outcome::kNotFound;
  int route = -1;                          ///< kFound: the id given to `add`.
  std::vector<NameValue> parameters = {};  ///< Decoded.
  std::string allow = {};                  ///< "GET, HEAD, OPTIONS".
};

/// Finds the route of a request: method and pattern to a number that the caller chose. Filled once, then immutable, so
/// thread-safe to match. Cost: O(segments of the path).
///
/// Patterns: "/v1/jobs/{id}/logs"; a last "{name...}" takes the rest of the path, slashes included, at least one
/// character. A literal segment wins over a parameter, a parameter over a rest. HEAD finds the GET route.
class Router {
 public:
  Router();
  ~Router();
  Router(Router&&) noexcept;
  Router& operator=(Router&&) noexcept;

  /// CHECKs the pattern: absolute, no empty segment, one name for a parameter at the same place, no duplicate.
  void add(std::string_view method, std::string_view pattern, int route);
  /// `raw_path` is percent-encoded (HttpRequest::raw_path()), so an id may contain "%2F".
  RouteMatch match(std::string_view method, std::string_view raw_path) const;

 private:
  struct Node;
  std::unique_ptr<Node> root_;
};

/// The answer to a match that is not kFound: 404, 405 with Allow, or 204 with Allow.
HttpResponse unrouted_response(const RouteMatch& match, const HttpRequest& request);

}  // namespace busbar::net
