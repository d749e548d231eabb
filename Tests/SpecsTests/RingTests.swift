// SPDX-License-Identifier: Apache-2.0

import Logic
import Specs
import Testing

@Suite("Ring specification") struct RingTests {
  @Test("it traces, and every rule names what enforces it") func traces() throws {
    let specification = try Ring().trace()
    #expect(specification.actions.count == 15)
    #expect(specification.rules.map(\.number) == (1...7).map { "R\($0)" })
  }
}
