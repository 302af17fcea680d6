// Registers the system instructions.
using Sharpvisor.Cpu.Decode;

namespace Sharpvisor.Cpu.System;

internal static unsafe class SystemHandlers
{
    internal static void Register(HandlerTable t)
    {
    }
}
