// SPDX-License-Identifier: Apache-2.0

import Foundation

extension CaseDiagram {
  /// The diagram as an SVG element for a page: cases on an ellipse, moves as numbered arrows. Colours are the page's.
  /// - Parameter id: of the element that draws the arrows' heads, one of its own in a page.
  public func svg(id: String) -> String {
    let size = (width: 400.0, height: cases.count > 4 ? 330.0 : cases.count > 2 ? 270.0 : 130.0)
    let places = cases.indices.map { place(of: $0, size) }
    let boxes = cases.map { 7.4 * Double($0.count) / 2 + 10 }
    let nodes = cases.indices.map { index -> String in
      let (x, y, half) = (places[index].x, places[index].y, boxes[index])
      let rectangle = { (grow: Double, style: String) in
        "<rect class=\"\(style)\" x=\"\((x - half - grow).short)\" y=\"\((y - 14 - grow).short)\""
          + " width=\"\((2 * (half + grow)).short)\" height=\"\((28 + 2 * grow).short)\" rx=\"9\"/>"
      }
      return (index == initial ? rectangle(4, "start") : "") + rectangle(0, "case")
        + "<text x=\"\(x.short)\" y=\"\((y + 4.5).short)\">\(cases[index].html)</text>"
    }
    var badges: [Point] = []
    let arrows = edges.enumerated().map { number, edge in
      let curve = Curve(from: places[edge.from], boxes[edge.from], to: places[edge.to], boxes[edge.to])
      // Where the curve is at about half its way, and not everything is in the middle of the picture.
      let ways = [0.42, 0.5, 0.34, 0.58, 0.27, 0.66, 0.73].map { edge.from < edge.to ? $0 : 1 - $0 }
      let badge = ways.map(curve.point).max { Self.room(at: $0, badges) < Self.room(at: $1, badges) }
      badges.append(badge ?? curve.middle)
      return arrow(number + 1, edge, curve, badges[number], id)
    }
    let description = "\(cases.count) cases of \(component), \(edges.count) moves between them"
    return
      "<svg class=\"diagram\" viewBox=\"0 0 400 \(size.height.short)\" role=\"img\" aria-label=\"\(description.html)\">"
      + "<defs><marker id=\"\(id)\" viewBox=\"0 0 8 8\" refX=\"7\" refY=\"4\" markerWidth=\"7\" markerHeight=\"7\""
      + " orient=\"auto-start-reverse\"><path d=\"M0 0L8 4L0 8z\"/></marker></defs>"
      + arrows.map(\.line).joined() + nodes.joined() + arrows.map(\.badge).joined() + "</svg>"
  }

  /// The first case is on the left, the others follow clockwise.
  private func place(of index: Int, _ size: (width: Double, height: Double)) -> Point {
    let widest = Double(cases.map(\.count).max() ?? 0) * 3.7 + 18
    let angle = Double.pi + 2 * Double.pi * Double(index) / Double(max(1, cases.count))
    return (
      size.width / 2 + (size.width / 2 - widest) * cos(angle),
      size.height / 2 + (size.height / 2 - 30) * sin(angle)
    )
  }

  /// How far a number would be from its nearest neighbour, or far enough.
  private static func room(at point: Point, _ others: [Point]) -> Double {
    others.reduce(20) { nearest, other in
      let (dx, dy) = (other.x - point.x, other.y - point.y)
      return min(nearest, (dx * dx + dy * dy).squareRoot())
    }
  }

  private func arrow(_ number: Int, _ edge: Edge, _ curve: Curve, _ badge: Point, _ id: String) -> (
    line: String, badge: String
  ) {
    let title = "\(cases[edge.from]) → \(cases[edge.to]): \(edge.actions.joined(separator: ", "))".html
    return (
      "<path class=\"move\" marker-end=\"url(#\(id))\" d=\"M\(curve.start.x.short) \(curve.start.y.short)"
        + "Q\(curve.middle.x.short) \(curve.middle.y.short) \(curve.end.x.short) \(curve.end.y.short)\">"
        + "<title>\(title)</title></path>",
      "<g class=\"badge\"><title>\(title)</title><circle cx=\"\(badge.x.short)\" cy=\"\(badge.y.short)\" r=\"8\"/>"
        + "<text x=\"\(badge.x.short)\" y=\"\((badge.y + 3.5).short)\">\(number)</text></g>"
    )
  }
}

private typealias Point = (x: Double, y: Double)

/// A way from one box to another that leaves room for the one in the other direction.
private struct Curve {
  let start: Point
  /// What the curve bends towards.
  let middle: Point
  let end: Point

  init(from a: Point, _ halfA: Double, to b: Point, _ halfB: Double) {
    let (dx, dy) = (b.x - a.x, b.y - a.y)
    let length = max(1, (dx * dx + dy * dy).squareRoot())
    let bend = min(34, length * 0.22)
    middle = ((a.x + b.x) / 2 - dy / length * bend, (a.y + b.y) / 2 + dx / length * bend)
    (start, end) = (Self.border(a, middle, halfA), Self.border(b, middle, halfB))
  }

  /// The point at a part of the way, from 0 to 1.
  func point(_ t: Double) -> Point {
    let (a, b, c) = ((1 - t) * (1 - t), 2 * t * (1 - t), t * t)
    return (a * start.x + b * middle.x + c * end.x, a * start.y + b * middle.y + c * end.y)
  }

  /// Where the way from a box's middle towards a point leaves the box.
  private static func border(_ box: Point, _ towards: Point, _ half: Double) -> Point {
    let (dx, dy) = (towards.x - box.x, towards.y - box.y)
    let scale = min((half + 3) / max(0.01, abs(dx)), 18 / max(0.01, abs(dy)), 1)
    return (box.x + dx * scale, box.y + dy * scale)
  }
}

extension Double {
  /// With one digit behind the point.
  fileprivate var short: String { String(format: "%.1f", self) }
}

extension String {
  /// As text or as an attribute's value.
  var html: String {
    replacing("&", with: "&amp;").replacing("<", with: "&lt;").replacing(">", with: "&gt;")
      .replacing("\"", with: "&quot;").replacing("'", with: "&#39;")
  }
}
