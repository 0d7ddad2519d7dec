#include "route/inference_body.h"

#include <gtest/gtest.h>

#include <string>

namespace busbar::route {
namespace {

std::optional<std::string_view> model_of(std::string_view body) {
  const auto scanned = scan_inference_body(body);
  return scanned ? std::optional(scanned->model) : std::nullopt;
}

TEST(InferenceBody, FindsTheModel) {
  EXPECT_EQ(model_of(R"({"model":"tiny"})"), "tiny");
  EXPECT_EQ(
      model_of(R"( { "messages" : [{"role":"user","model":"no","content":"a \" } \\"}], "n":1, "model" : "b/c" } )"),
      "b/c");
  EXPECT_EQ(model_of(R"({"a":{"model":"no"},"b":null,"c":true,"model":"x","d":-1.5e3})"), "x");
}

TEST(InferenceBody, RefusesWhatTwoReadersCouldSeeDifferently) {
  for (const char* body : {"", "[]", "{}", "\"model\"", R"({"model":1})", R"({"model":"a","model":"b"})",
                           R"({"model":"a","mod\u0065l":"b"})", R"({"model":"\u0061"})", R"({"model":"a")",
                           R"({"model")", R"({"a":[1,2,"model":"x"})", R"({model:"x"})", "{\"model\":\"x"}) {
    SCOPED_TRACE(body);
    EXPECT_EQ(model_of(body), std::nullopt);
  }
}

TEST(InferenceBody, EstimatesWhatACallWillUse) {
  const auto chat = scan_inference_body(R"({"model":"m","messages":["12345678"],"max_tokens":100,"n":3})");
  ASSERT_TRUE(chat);
  EXPECT_EQ(chat->prompt, R"(["12345678"])");
  EXPECT_EQ(estimate_tokens(*chat, Completion::kText), 3U + 300U);
  EXPECT_EQ(estimate_tokens(*chat, Completion::kNone), 3U);
  const auto open = scan_inference_body(R"({"model":"m","prompt":"hi","max_completion_tokens":null,"n":0})");
  ASSERT_TRUE(open);
  EXPECT_EQ(estimate_tokens(*open, Completion::kText), 1U + 512U);
  // Who names two bounds is held to the larger.
  const auto two = scan_inference_body(R"({"model":"m","max_tokens":5,"max_completion_tokens":7,"max_tokens":-3})");
  EXPECT_EQ(two->max_tokens, 7U);
}

std::optional<std::uint64_t> total_of(std::string_view text, std::size_t piece) {
  UsageScanner scanner;
  for (std::size_t at = 0; at < text.size(); at += piece) scanner.feed(text.substr(at, piece));
  return scanner.total_tokens();
}

TEST(UsageScanner, FindsTheTotalHoweverTheAnswerIsCut) {
  const std::string plain =
      R"({"choices":[{"text":"say \"total_tokens\": 5"}],"usage":{"prompt_tokens":7,"total_tokens" : 123,"x":1}})";
  const std::string stream =
      "data: {\"usage\":{\"total_tokens\":1}}\n\ndata: {\"usage\":{\"total_tokens\":42}}\n\ndata: [DONE]\n\n";
  for (std::size_t piece = 1; piece <= plain.size(); ++piece) {
    SCOPED_TRACE(piece);
    EXPECT_EQ(total_of(plain, piece), 123U);
    EXPECT_EQ(total_of(stream, piece), 42U);
    EXPECT_EQ(total_of(R"({"total_token":1,"a\"total_tokens\"":2,"total_tokens":null})", piece), std::nullopt);
  }
}

}  // namespace
}  // namespace busbar::route
