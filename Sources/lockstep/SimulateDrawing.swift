// SPDX-License-Identifier: Apache-2.0

import Foundation

/// The simulations as one drawing: above, what each number of domains costs; below, one of them over time.
struct OvercommitDrawing {
  let runs: [OvercommitRun]
  let fitting: OvercommitRun
  /// The part of their time in which domains may be short.
  let allowed: Double

  private static let (width, height) = (840.0, 560.0)
  private static let (left, right) = (80.0, 810.0)

  var text: String {
    ([
      "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 \(Int(Self.width)) \(Int(Self.height))\""
        + " font-family=\"sans-serif\" font-size=\"12\">",
      "<rect width=\"100%\" height=\"100%\" fill=\"white\"/>",
    ] + bars + timeline + ["</svg>"]).joined(separator: "\n") + "\n"
  }

  private func label(
    _ x: Double, _ y: Double, _ text: String, anchor: String = "start", size: Int = 12
  ) -> String {
    "<text x=\"\(Self.number(x))\" y=\"\(Self.number(y))\" text-anchor=\"\(anchor)\" font-size=\"\(size)\">"
      + "\(text)</text>"
  }

  private func line(_ y: Double, _ colour: String, dashed: Bool = false) -> String {
    "<line x1=\"\(Self.left)\" x2=\"\(Self.right)\" y1=\"\(Self.number(y))\" y2=\"\(Self.number(y))\""
      + " stroke=\"\(colour)\"\(dashed ? " stroke-dasharray=\"5 4\"" : "")/>"
  }

  private static func number(_ value: Double) -> String { String(format: "%.1f", value) }

  // MARK: What each number of domains costs

  private var bars: [String] {
    let (top, bottom) = (50.0, 220.0)
    let largest = max(runs.map(\.shortShare).max() ?? 0, allowed * 2, 0.001)
    let pitch = (Self.right - Self.left) / Double(runs.count)
    func y(_ share: Double) -> Double { bottom - (bottom - top) * share / largest }
    let columns = runs.enumerated().flatMap { index, run -> [String] in
      let x = Self.left + pitch * Double(index)
      let colour = run.fits(allowed: allowed) ? "#2a7" : run.built < run.domains ? "#999" : "#c43"
      // A bar of nothing is still seen.
      let height = max(bottom - y(run.shortShare), 2)
      return [
        "<rect x=\"\(Self.number(x + pitch * 0.15))\" y=\"\(Self.number(bottom - height))\""
          + " width=\"\(Self.number(pitch * 0.7))\" height=\"\(Self.number(height))\" fill=\"\(colour)\"/>",
        label(x + pitch / 2, bottom + 16, "\(run.domains)", anchor: "middle"),
      ]
    }
    return [
      label(Self.left, 26, "Time in which domains are short of memory, by number of domains", size: 15),
      label(
        Self.right, 42, "green: fits; red: short for too long; grey: not all could be built", anchor: "end"),
      label(Self.left - 8, top + 4, String(format: "%.1f %%", largest * 100), anchor: "end"),
      label(Self.left - 8, bottom + 4, "0 %", anchor: "end"),
    ] + columns + [line(bottom, "black"), line(y(allowed), "#555", dashed: true)]
  }

  // MARK: One of them over time

  private static let points = 365

  private var timeline: [String] {
    let (top, bottom) = (310.0, 510.0)
    let pool = Double(fitting.host.pool)
    let largest = max(pool, Double(fitting.needed.max() ?? 0)) * 1.05
    func y(_ pages: Double) -> Double { bottom - (bottom - top) * pages / largest }
    func path(_ values: [UInt64]) -> String {
      let stride = max(1, values.count / Self.points)
      return values.indices.filter { $0 % stride == 0 }.map { second in
        let x = Self.left + (Self.right - Self.left) * Double(second) / Double(max(values.count - 1, 1))
        return "\(Self.number(x)),\(Self.number(y(Double(values[second]))))"
      }.joined(separator: " ")
    }
    func curve(_ values: [UInt64], _ colour: String) -> String {
      "<polyline points=\"\(path(values))\" fill=\"none\" stroke=\"\(colour)\" stroke-width=\"1.5\"/>"
    }
    let megabytes = fitting.host.pool / SimulateOvercommit.megabyte
    return [
      label(Self.left, 276, "\(fitting.domains) domains over time", size: 15),
      label(
        Self.right, 294, "blue: what they have; orange: what they need; dashed: what there is for them",
        anchor: "end"),
      line(bottom, "black"), line(y(pool), "#555", dashed: true),
      label(Self.left - 8, y(pool) + 4, "\(megabytes) MB", anchor: "end"),
      label(Self.left - 8, bottom + 4, "0 MB", anchor: "end"),
      label(Self.left, bottom + 18, "0 s"),
      label(Self.right, bottom + 18, "\(fitting.seconds) s", anchor: "end"),
      curve(fitting.held, "#36c"), curve(fitting.needed, "#e80"),
    ]
  }
}
