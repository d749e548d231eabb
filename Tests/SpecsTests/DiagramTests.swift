// SPDX-License-Identifier: Apache-2.0

import Checker
import Logic
import Specs
import Testing

@Suite("State diagrams") struct DiagramTests {
  @Test("each machine has a diagram, whose numbers lie apart", arguments: subjects.map(\.name))
  func legible(name: String) throws {
    let subject = try #require(subjects.first { $0.name == name })
    let specification = try subject.make().trace()
    let diagrams = try CaseDiagram.all(of: specification, scope: subject.scopes[0], attempts: 200_000)
    #expect(!diagrams.isEmpty)
    for diagram in diagrams {
      let circles = diagram.svg(id: "x").matches(of: /<circle cx="([0-9.]+)" cy="([0-9.]+)" r="8"/)
      let places = circles.compactMap { match in
        Double(match.1).flatMap { x in Double(match.2).map { SIMD2(x, $0) } }
      }
      #expect(places.count == diagram.edges.count)
      for (index, place) in places.enumerated() {
        for other in places[..<index] {
          let way = place - other
          #expect((way * way).sum() > 15 * 15, "\(name), \(diagram.component): \(place) and \(other)")
        }
      }
    }
  }
}
