// SPDX-License-Identifier: Apache-2.0

import Logic
import Specs
import Testing

@Suite("DirtyLog specification") struct DirtyLogTests {
  @Test("it traces, and every rule names what enforces it") func traces() throws {
    let specification = try DirtyLog().trace()
    #expect(specification.actions.count == 18)
    #expect(specification.rules.map(\.number) == (1...8).map { "R\($0)" })
  }
}
