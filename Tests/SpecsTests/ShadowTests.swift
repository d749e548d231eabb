// SPDX-License-Identifier: Apache-2.0

import Logic
import Specs
import Testing

@Suite("Shadow specification") struct ShadowTests {
  @Test("it traces, and every rule names what enforces it") func traces() throws {
    let specification = try Shadow().trace()
    #expect(specification.actions.count == 27)
    #expect(specification.rules.map(\.number) == (1...12).map { "R\($0)" })
  }
}
