// Makes confseq.json, with the header of PyPI's confseq (its source archive) and Boost:
//   g++ -std=c++17 -I confseq-0.0.11/src/confseq confseq.cpp -o make && ./make
#include <cstdio>
#include <random>
#include "uniform_boundaries.h"

using namespace confseq;

static const char* separator(bool& first) {
  const char* text = first ? "" : ",";
  first = false;
  return text;
}

int main() {
  bool first = true;
  printf("{\"from\":\"confseq 0.0.11 (uniform_boundaries.h), Boost 1.74; std::mt19937 with seed 7\",\"mixture\":[");
  for (double q : {.5, .9, .99})
    for (double v : {1., 10., 300.})
      for (double part : {-.5, -.1, 0., .2, .7}) {
        const double n = v / (q * (1 - q));
        const double s = part * n * (part < 0 ? q : 1 - q);
        const double log = beta_binomial_log_mixture(s, v, 500 * q * (1 - q), q, 1 - q, .05, false);
        printf("%s[%.17g,%.17g,%.17g,%.17g]", separator(first), q, s, v, log);
      }
  first = true;
  printf("],\"band\":[");
  for (double alpha : {.05, .01, .001})
    for (int n : {32, 100, 1000, 100000})
      printf("%s[%d,%g,%.17g]", separator(first), n, alpha, empirical_process_lil_bound(n, alpha, 32));
  first = true;
  printf("],\"quantiles\":[");
  std::mt19937 random(7);
  const std::vector<double> edges = {.5, 1, 1.5, 2, 3, 4, 6, 8};
  for (double q : {.5, .9})
    for (int n : {100, 1000})
      for (double shift : {0., .3, 1.}) {
        const auto draw = [&](double more) {
          std::exponential_distribution<double> waiting(.7);
          const double x = waiting(random) + more;
          for (size_t i = 0; i < edges.size(); i++)
            if (x <= edges[i]) return int(i);
          return int(edges.size());
        };
        std::vector<double> a, b;
        std::vector<int> countsA(9), countsB(9);
        for (int i = 0; i < n; i++) {
          const int x = draw(0), y = draw(shift);
          a.push_back(x), b.push_back(y);
          countsA[x]++, countsB[y]++;
        }
        const QuantileABTest test(q, 500, .05, std::make_shared<StaticOrderStatistics>(a.begin(), a.end()),
                                  std::make_shared<StaticOrderStatistics>(b.begin(), b.end()));
        printf("%s{\"q\":%g,\"p\":%.17g,\"a\":[", separator(first), q, test.p_value());
        for (int i = 0; i < 9; i++) printf("%s%d", i ? "," : "", countsA[i]);
        printf("],\"b\":[");
        for (int i = 0; i < 9; i++) printf("%s%d", i ? "," : "", countsB[i]);
        printf("]}");
      }
  first = true;
  printf("],\"proportion\":[");
  for (int n : {20, 500, 20000})
    for (double part : {0., .01, .3, .5, .95, 1.}) {
      const int k = int(part * n);
      const auto interval = bernoulli_confidence_interval(k, n, .05, 500, .05);
      printf("%s[%d,%d,%.17g,%.17g]", separator(first), k, n, interval.first, interval.second);
    }
  printf("]}\n");
}
