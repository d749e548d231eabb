// SPDX-License-Identifier: Apache-2.0

import Logic
import Specs
import Testing

@Suite("Grants specification") struct GrantsTests {
  @Test("it traces, and every rule names what enforces it") func traces() throws {
    let specification = try Grants().trace()
    #expect(specification.actions.count == 20)
    #expect(specification.rules.map(\.number) == (1...12).map { "R\($0)" })
  }
}
