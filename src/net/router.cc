#include "net/router.h"

#include <set>
#include <span>

#include "base/check.h"
#include "base/text.h"

namespace busbar::net {

struct Router::Node {
  std::map<std::string, std::unique_ptr<Node>, std::less<>> literals;
  std::unique_ptr<Node> parameter;
  std::string parameter_name;
  std::unique_ptr<Node> rest;
  std::string rest_name;
  std::map<std::string, int, std::less<>> routes;  // method -> route; empty inside the tree
};

namespace {

using Segments = std::vector<std::string_view>;

/// "/a/b" -> a, b; "/" -> one empty segment.
Segments segments_of(std::string_view path) {
  return split(path.substr(1), '/');
}

std::string allow_of(const std::map<std::string, int, std::less<>>& routes) {
  std::set<std::string> methods = {"OPTIONS"};
  for (const auto& [method, route] : routes) {
    methods.insert(method);
    if (method == "GET") methods.insert("HEAD");
  }
  return join(std::vector<std::string>(methods.begin(), methods.end()), ", ");
}

/// A segment that does not decode cannot match anything; the server refuses such targets before.
std::string decoded(std::string_view text) {
  return percent_decode(text).value_or(std::string(text));
}

}  // namespace

Router::Router() : root_(std::make_unique<Node>()) {}
Router::~Router() = default;
Router::Router(Router&&) noexcept = default;
Router& Router::operator=(Router&&) noexcept = default;

void Router::add(std::string_view method, std::string_view pattern, int route) {
  CHECK(pattern.starts_with('/') && route >= 0, pattern);
  const Segments segments = segments_of(pattern);
  Node* node = root_.get();
  for (std::size_t i = 0; i < segments.size(); ++i) {
    std::string_view segment = segments[i];
    CHECK(!segment.empty() || pattern == "/", pattern);
    if (!segment.starts_with('{')) {
      std::unique_ptr<Node>& child = node->literals[std::string(segment)];
      if (!child) child = std::make_unique<Node>();
      node = child.get();
      continue;
    }
    CHECK(segment.ends_with('}') && segment.size() > 2, pattern);
    segment = segment.substr(1, segment.size() - 2);
    const bool is_rest = segment.ends_with("...");
    CHECK(!is_rest || i + 1 == segments.size(), pattern);
    if (is_rest) segment.remove_suffix(3);
    std::unique_ptr<Node>& child = is_rest ? node->rest : node->parameter;
    std::string& name = is_rest ? node->rest_name : node->parameter_name;
    CHECK(!child || name == segment, pattern);
    if (!child) child = std::make_unique<Node>();
    name = segment;
    node = child.get();
  }
  CHECK(node->routes.emplace(method, route).second, pattern);
}

namespace {

/// Depth first: literal, then parameter, then rest; the first node with routes wins. `parameters` holds those of the
/// branch being tried.
template <class Node>
const Node* find_node(const Node& node, std::span<const std::string_view> segments,
                      std::vector<NameValue>& parameters) {
  if (segments.empty()) return node.routes.empty() ? nullptr : &node;
  const std::string_view segment = segments.front();
  if (const auto literal = node.literals.find(decoded(segment)); literal != node.literals.end()) {
    if (const Node* found = find_node(*literal->second, segments.subspan(1), parameters)) return found;
  }
  if (node.parameter && !segment.empty()) {
    parameters.emplace_back(node.parameter_name, decoded(segment));
    if (const Node* found = find_node(*node.parameter, segments.subspan(1), parameters)) return found;
    parameters.pop_back();
  }
  if (node.rest) {
    const char* begin = segment.data();
    const std::string_view last = segments.back();
    const std::string_view rest(begin, static_cast<std::size_t>(last.data() + last.size() - begin));
    if (!rest.empty()) {
      parameters.emplace_back(node.rest_name, decoded(rest));
      return node.rest.get();
    }
  }
  return nullptr;
}

}  // namespace

RouteMatch Router::match(std::string_view method, std::string_view raw_path) const {
  RouteMatch match;
  if (!raw_path.starts_with('/')) return match;
  const Segments segments = segments_of(raw_path);
  const Node* node = find_node(*root_, segments, match.parameters);
  if (!node) return match;
  auto route = node->routes.find(method);
  if (route == node->routes.end() && method == "HEAD") route = node->routes.find("GET");
  if (route != node->routes.end()) {
    match.outcome = RouteMatch::Outcome::kFound;
    match.route = route->second;
    return match;
  }
  match.outcome = method == "OPTIONS" ? RouteMatch::Outcome::kOptions : RouteMatch::Outcome::kMethodNotAllowed;
  match.allow = allow_of(node->routes);
  return match;
}

HttpResponse unrouted_response(const RouteMatch& match, const HttpRequest& request) {
  switch (match.outcome) {
    case RouteMatch::Outcome::kOptions:
      return {.status = 204, .headers = {{"Allow", match.allow}}};
    case RouteMatch::Outcome::kMethodNotAllowed: {
      HttpResponse response = error_response(
          405, {.code = ErrorCode::kUnsupported,
                .message = request.method + " is not possible on " + request.path + "; it takes " + match.allow});
      set_header(response.headers, "Allow", match.allow);
      return response;
    }
    case RouteMatch::Outcome::kFound:
    case RouteMatch::Outcome::kNotFound:
      break;
  }
  return error_response({.code = ErrorCode::kNotFound, .message = "no such path: " + request.path});
}

}  // namespace busbar::net
