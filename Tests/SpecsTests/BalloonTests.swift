// SPDX-License-Identifier: Apache-2.0

import Logic
import Specs
import Testing

@Suite("Balloon specification") struct BalloonTests {
  @Test("it traces, and every rule names what enforces it") func traces() throws {
    let specification = try Balloon().trace()
    #expect(specification.actions.count == 21)
    #expect(specification.rules.map(\.number) == (1...11).map { "R\($0)" })
  }
}
