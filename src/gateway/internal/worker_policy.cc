// Who may call a service, and how much: keys, rates, and what an answer says it has used.

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <iterator>
#include <utility>

#include "gateway/internal/worker.h"

namespace busbar::gateway::internal {
namespace {

constexpr std::int64_t kSecondNs = 1'000'000'000;

struct Credential {
  HeaderId field = HeaderId::kOther;
  std::string_view key = {};
};

/// "x-api-key: KEY", else "Authorization: Bearer KEY".
Credential credential_of(const RequestHead& head) {
  constexpr std::string_view kBearer = "bearer ";
  Credential found;
  for (const HeaderLine& header : head.headers) {
    if (header.id == HeaderId::kApiKey) return {.field = HeaderId::kApiKey, .key = header.value};
    if (header.id != HeaderId::kAuthorization || header.value.size() <= kBearer.size()) continue;
    const std::string_view scheme = header.value.substr(0, kBearer.size());
    if (scheme != "Bearer " && !equals_ignoring_case(scheme, kBearer)) continue;
    found = {.field = HeaderId::kAuthorization, .key = header.value.substr(kBearer.size())};
  }
  return found;
}

bool holds(const std::vector<std::string>& names, std::string_view name) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

bool is_let_in(const route::Key& key, const route::Service& service) {
  const std::vector<std::string>& allow = service.access.allow;
  return (key.services.empty() || holds(key.services, service.name)) &&
         (allow.empty() || holds(allow, key.tenant) || holds(allow, key.user));
}

/// The value of one cookie in a Cookie field; "" if it is not there.
std::string_view cookie_value(std::string_view cookies, std::string_view name) {
  while (!cookies.empty()) {
    const std::size_t end = std::min(cookies.find(';'), cookies.size());
    std::string_view pair = cookies.substr(0, end);
    cookies.remove_prefix(std::min(end + 1, cookies.size()));
    while (!pair.empty() && pair.front() == ' ') pair.remove_prefix(1);
    if (pair.size() > name.size() && pair[name.size()] == '=' && pair.starts_with(name)) {
      return pair.substr(name.size() + 1);
    }
  }
  return {};
}

/// Never 0.
std::uint64_t text_hash(std::string_view text, std::uint64_t salt) {
  std::uint64_t hash = route::mix(salt, text.size());
  for (; text.size() >= 8; text.remove_prefix(8)) {
    std::uint64_t word = 0;
    std::memcpy(&word, text.data(), 8);
    hash = route::mix(hash, word);
  }
  for (const char c : text) hash = route::mix(hash, static_cast<unsigned char>(c));
  return hash == 0 ? 1 : hash;
}

/// Tells tenants apart: what one sends says nothing of what another sent. The same in all gateways.
std::uint64_t salt_of(const Exchange& exchange) {
  return exchange.key == nullptr ? 0 : text_hash(exchange.key->value.tenant, 1);
}

/// Limits with what has been used of them.
struct Account {
  const UseLimits* limits = nullptr;
  UseState* use = nullptr;
  std::string_view whose = {};
};
struct Accounts {
  std::array<Account, 3> items = {};
  std::size_t count = 0;
  void add(const UseLimits& limits, UseState& use, std::string_view whose) {
    if (limits.is_bounded()) items[count++] = {.limits = &limits, .use = &use, .whose = whose};
  }
  const Account* begin() const { return items.data(); }
  const Account* end() const { return items.data() + count; }
};

/// Those that a request counts to and that bound anything, the narrowest first.
Accounts accounts_of(const Exchange& exchange) {
  Accounts accounts;
  if (exchange.key != nullptr) {
    accounts.add(exchange.key->limits, *exchange.key->state, "this key's");
    accounts.add(exchange.key->tenant->limits, exchange.key->tenant->state->use, "this tenant's");
  }
  const ServiceEntry& entry = *exchange.service->entry;
  accounts.add(entry.limits, entry.state->use, "this service's");
  return accounts;
}

/// 0: taken. Else how long to wait.
std::int64_t take(const route::Bucket& bucket, std::atomic<std::int64_t>& state, std::int64_t now_ns,
                  std::uint64_t amount) {
  if (!bucket.is_bounded()) return 0;
  std::int64_t before = state.load(std::memory_order_relaxed);
  while (true) {
    const route::Bucket::Take take = bucket.take(before, now_ns, amount);
    if (!take.is_granted) return std::max<std::int64_t>(1, take.wait_ns);
    if (state.compare_exchange_weak(before, take.state, std::memory_order_relaxed)) return 0;
  }
}

void settle_bucket(const route::Bucket& bucket, std::atomic<std::int64_t>& state, std::int64_t now_ns,
                   std::int64_t more) {
  if (!bucket.is_bounded() || more == 0) return;
  std::int64_t before = state.load(std::memory_order_relaxed);
  while (!state.compare_exchange_weak(before, bucket.settle(before, now_ns, more), std::memory_order_relaxed)) {
  }
}

/// Field lines with numbers, built in place: on the way of every answer to a caller with limits.
class FieldWriter {
 public:
  FieldWriter& text(std::string_view text) {
    std::memcpy(buffer_.data() + size_, text.data(), text.size());
    size_ += text.size();
    return *this;
  }
  FieldWriter& number(std::uint64_t number) {
    const fmt::format_int digits(number);
    return text({digits.data(), digits.size()});
  }
  std::string_view view() const { return {buffer_.data(), size_}; }

 private:
  std::array<char, 256> buffer_;
  std::size_t size_ = 0;
};

struct RateFieldNames {
  std::string_view limit;
  std::string_view remaining;
  std::string_view reset;
};
constexpr RateFieldNames kRequestFields = {.limit = "x-ratelimit-limit-requests: ",
                                           .remaining = "\r\nx-ratelimit-remaining-requests: ",
                                           .reset = "\r\nx-ratelimit-reset-requests: "};
constexpr RateFieldNames kTokenFields = {.limit = "x-ratelimit-limit-tokens: ",
                                         .remaining = "\r\nx-ratelimit-remaining-tokens: ",
                                         .reset = "\r\nx-ratelimit-reset-tokens: "};

void append_fields(std::string& out, const RateFieldNames& names, const route::Bucket& bucket, std::int64_t state,
                   std::int64_t now_ns) {
  FieldWriter writer;
  writer.text(names.limit).number(bucket.count()).text(names.remaining).number(bucket.left(state, now_ns));
  const std::int64_t reset_ms = route::Bucket::full_in_ns(state, now_ns) / 1'000'000;
  writer.text(names.reset).number(static_cast<std::uint64_t>(reset_ms)).text("ms\r\n");
  out.append(writer.view());
}

}  // namespace

// False: it has been answered.
bool Worker::admit(Exchange& exchange, const RequestHead& head) {
  const ServiceEntry& entry = *exchange.service->entry;
  if (entry.value.access.auth == model::ServiceAuth::kKey && !know_caller(exchange, head)) return false;
  if ((exchange.key != nullptr || entry.limits.is_bounded()) && !take_rates(exchange)) return false;
  exchange.is_admitted = true;
  exchange.wants_usage = exchange.tokens > 0;
  exchange.service->counters->arrivals.add(1);
  const model::AffinityKind affinity = entry.value.traffic.affinity.kind;
  const bool has_wishes = affinity == model::AffinityKind::kCookie || affinity == model::AffinityKind::kHeader;
  if (has_wishes || !entry.value.rules.empty()) read_wishes(exchange, head);
  return true;
}

// What its head says of where it would like to go.
void Worker::read_wishes(Exchange& exchange, const RequestHead& head) {
  const route::Service& service = exchange.service->entry->value;
  const model::Affinity& affinity = service.traffic.affinity;
  for (const HeaderLine& header : head.headers) {
    if (exchange.wanted_revision == 0) {
      for (const route::HeaderRule& rule : service.rules) {
        if (!equals_ignoring_case(header.name, rule.header)) continue;
        if (!rule.value.empty() && header.value != rule.value) continue;
        exchange.wanted_revision = rule.revision;
        break;
      }
    }
    std::string_view belongs_to;
    if (affinity.kind == model::AffinityKind::kHeader && equals_ignoring_case(header.name, affinity.name)) {
      belongs_to = header.value;
    } else if (affinity.kind == model::AffinityKind::kCookie && equals_ignoring_case(header.name, "cookie")) {
      belongs_to = cookie_value(header.value, affinity.name);
    }
    if (!belongs_to.empty()) exchange.session = text_hash(belongs_to, salt_of(exchange));
  }
}

void Worker::note_prompt(Exchange& exchange, const route::InferenceBody& body) {
  if (exchange.service->entry->value.traffic.affinity.kind != model::AffinityKind::kPrefix) return;
  route::hash_prefix(body.prompt, text_hash(body.model, salt_of(exchange)), exchange.prefix);
}

// Its replica has its prompt in memory from now on.
void Worker::note_prefix(const Exchange& exchange) {
  route::PrefixMap* prefixes = exchange.service->entry->state->prefixes();
  if (prefixes == nullptr) return;
  for (const std::uint64_t hash : exchange.prefix) prefixes->note(hash, exchange.endpoint->entry.state->tag);
}

bool Worker::know_caller(Exchange& exchange, const RequestHead& head) {
  const route::Service& service = exchange.service->entry->value;
  const Credential credential = credential_of(head);
  const auto refuse = [&](int status, std::string_view text) {
    exchange.service->counters->denied.add(1);
    if (status == 401) more_fields_ = "WWW-Authenticate: Bearer\r\n";
    fail(exchange, status, text);
    return false;
  };
  if (credential.key.empty()) {
    return refuse(401, "this service needs a key: send \"Authorization: Bearer KEY\" or \"x-api-key: KEY\"");
  }
  std::shared_ptr<const KeyEntry> key = keys_.find(credential.key, directory_->callers());
  if (key == nullptr) return refuse(401, "the key is not known here, or was revoked");
  if (!is_let_in(key->value, service)) return refuse(403, "this key may not call this service");
  exchange.key = std::move(key);
  exchange.credential = credential.field;
  return true;
}

bool Worker::has_known_key(const RequestHead& head) {
  return keys_.find(credential_of(head).key, directory_->callers()) != nullptr;
}

bool Worker::take_rates(Exchange& exchange) {
  const std::int64_t now_ns = now_us_ * 1'000;
  const Accounts accounts = accounts_of(exchange);
  std::int64_t wait_ns = 0;
  std::string text;
  std::size_t taken = 0;
  for (const Account& account : accounts) {
    wait_ns = take(account.limits->requests, account.use->requests, now_ns, 1);
    if (wait_ns > 0) {
      text = fmt::format("{} rate of requests is used up", account.whose);
      break;
    }
    if (exchange.tokens > 0) {
      wait_ns = take(account.limits->tokens, account.use->tokens, now_ns, exchange.tokens);
      if (wait_ns > 0) {
        settle_bucket(account.limits->requests, account.use->requests, now_ns, -1);
        text = fmt::format("{} rate of tokens is used up; this request may use {}", account.whose, exchange.tokens);
        break;
      }
    }
    ++taken;
  }
  TenantState* tenant = exchange.key != nullptr ? exchange.key->tenant->state.get() : nullptr;
  if (wait_ns == 0) {
    if (tenant != nullptr) {
      tenant->requests.fetch_add(1, std::memory_order_relaxed);
      if (exchange.tokens > 0) tenant->estimated_tokens.fetch_add(exchange.tokens, std::memory_order_relaxed);
    }
    return true;
  }
  // What was taken of the others is given back: a request that is refused costs nothing.
  for (std::size_t index = 0; index < taken; ++index) {
    const Account& account = accounts.items[index];
    settle_bucket(account.limits->requests, account.use->requests, now_ns, -1);
    settle_bucket(account.limits->tokens, account.use->tokens, now_ns, -static_cast<std::int64_t>(exchange.tokens));
  }
  exchange.service->counters->limited.add(1);
  if (tenant != nullptr) tenant->limited.fetch_add(1, std::memory_order_relaxed);
  append_rate_fields(more_fields_, exchange);
  fail(exchange, 429, text, (wait_ns + kSecondNs - 1) / kSecondNs);
  return false;
}

// What the answer said in place of what was expected. One that did not begin has used nothing.
void Worker::settle(Exchange& exchange) {
  const std::optional<std::uint64_t> total = exchange.usage.total_tokens();
  const bool has_answer = exchange.status >= 200 && exchange.status < 400 && exchange.first_byte_us > 0;
  const std::uint64_t used = total ? *total : has_answer ? exchange.tokens : 0;
  const auto more = static_cast<std::int64_t>(used) - static_cast<std::int64_t>(exchange.tokens);
  for (const Account& account : accounts_of(exchange)) {
    settle_bucket(account.limits->tokens, account.use->tokens, now_us_ * 1'000, more);
  }
  if (exchange.key == nullptr) return;
  TenantState& tenant = *exchange.key->tenant->state;
  if (total) tenant.settled_tokens.fetch_add(used, std::memory_order_relaxed);
  if (!total && has_answer) tenant.unsettled.fetch_add(1, std::memory_order_relaxed);
}

void Worker::append_rate_fields(std::string& out, const Exchange& exchange) const {
  const ServiceEntry& entry = *exchange.service->entry;
  if (exchange.key == nullptr && !entry.limits.is_bounded()) return;
  // The narrowest that bounds it; the wider ones are others' business too.
  const UseLimits* requests = nullptr;
  const UseLimits* tokens = nullptr;
  for (const Account& account : accounts_of(exchange)) {
    if (requests == nullptr && account.limits->requests.is_bounded()) {
      requests = account.limits;
      append_fields(out, kRequestFields, requests->requests, account.use->requests.load(std::memory_order_relaxed),
                    now_us_ * 1'000);
    }
    if (tokens == nullptr && exchange.tokens > 0 && account.limits->tokens.is_bounded()) {
      tokens = account.limits;
      append_fields(out, kTokenFields, tokens->tokens, account.use->tokens.load(std::memory_order_relaxed),
                    now_us_ * 1'000);
    }
  }
}

}  // namespace busbar::gateway::internal
