// SPDX-License-Identifier: Apache-2.0

import Logic
import Specs
import Testing

@Suite("Event channels specification") struct EventChannelsTests {
  @Test("it traces, and every rule names what enforces it") func traces() throws {
    let specification = try EventChannels().trace()
    #expect(specification.actions.count == 36)
    #expect(specification.rules.map(\.number) == (1...11).map { "R\($0)" })
  }
}
