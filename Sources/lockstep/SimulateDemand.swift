// SPDX-License-Identifier: Apache-2.0

import Conformance
import Foundation

/// How busy generated domains are. These are assumptions, not measurements: a domain has a base that it always needs, and
/// now and then a burst that needs more for a while.
enum OvercommitLoad: String, CaseIterable {
  /// A burst every half hour.
  case quiet
  /// A burst every five minutes.
  case mixed
  /// A burst every minute, most of the time spent in one.
  case busy

  /// Seconds between two bursts, on average.
  fileprivate var interval: UInt64 {
    switch self {
    case .quiet: 1800
    case .mixed: 300
    case .busy: 60
    }
  }
}

/// What domains need (their kernels' Committed_AS), second by second.
enum OvercommitDemand {
  /// MB, by second and then by domain.
  case recorded([[UInt64]])
  case generated(OvercommitLoad, seed: UInt64)

  /// What one domain of at most `maximum` pages needs: pages, by second.
  func pages(of domain: Int, maximum: UInt64, seconds: Int) -> [UInt64] {
    switch self {
    case .recorded(let lines):
      return (0..<seconds).map { second in
        let line = lines[second % lines.count]
        return line[domain % line.count] * SimulateOvercommit.megabyte
      }
    case .generated(let load, let seed):
      var generator = SplitMix64(state: seed &+ UInt64(domain) &* 0x2545_f491_4f6c_dd1d)
      return Self.generate(load, maximum, seconds, &generator)
    }
  }

  /// A base of 15 to 30 % of the maximum; bursts to 30 to 90 % of it, of 20 to 120 s, reached within 10 s.
  private static func generate(
    _ load: OvercommitLoad, _ maximum: UInt64, _ seconds: Int, _ generator: inout SplitMix64
  ) -> [UInt64] {
    let base = maximum * .random(in: 15...30, using: &generator) / 100
    var (height, remaining, now): (UInt64, Int, UInt64) = (0, 0, base)
    return (0..<seconds).map { _ in
      if remaining == 0, .random(in: 0..<load.interval, using: &generator) == 0 {
        height = maximum * .random(in: 30...90, using: &generator) / 100
        remaining = .random(in: 20...120, using: &generator)
      }
      let goal = remaining > 0 ? max(base, height) : base
      if remaining > 0 { remaining -= 1 }
      // A program takes its memory little by little, and gives it up when it ends.
      now = goal < now ? goal : min(goal, now + max(1, (goal - base) / 10))
      return now
    }
  }

  /// Reads recorded demand.
  static func read(_ path: String) throws -> [[UInt64]] {
    let text: String
    do {
      text = try String(contentsOfFile: path, encoding: .utf8)
    } catch {
      throw CouldNotRun("\(path) cannot be read: \(error.localizedDescription)")
    }
    var lines: [[UInt64]] = []
    for (number, line) in text.split(separator: "\n", omittingEmptySubsequences: false).enumerated() {
      let fields = line.split(separator: ",").map { $0.trimmingCharacters(in: .whitespaces) }
      if fields.allSatisfy(\.isEmpty) { continue }
      let values = fields.compactMap { UInt64($0) }
      guard values.count == fields.count, values.allSatisfy({ $0 < SimulateOvercommit.largest }) else {
        throw CouldNotRun(
          "\(path):\(number + 1): numbers of MB below \(SimulateOvercommit.largest), with commas between")
      }
      lines.append(values)
    }
    guard !lines.isEmpty else { throw CouldNotRun("\(path): no demand in it") }
    return lines
  }
}
