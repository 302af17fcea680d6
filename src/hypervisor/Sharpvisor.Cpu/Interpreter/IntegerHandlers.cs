// Registers the integer instructions.
using Sharpvisor.Cpu.Decode;

namespace Sharpvisor.Cpu.Interpreter;

internal static unsafe class IntegerHandlers
{
    internal static void Register(HandlerTable t)
    {
    }
}
