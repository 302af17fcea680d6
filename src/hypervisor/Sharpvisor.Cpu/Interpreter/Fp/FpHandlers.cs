// The one entry point of the floating point and SIMD area: which handler executes which Iced Code.
using Sharpvisor.Cpu.Decode;

namespace Sharpvisor.Cpu.Interpreter.Fp;

internal static class FpHandlers
{
    internal static void Register(HandlerTable t)
    {
        FpHandlersMoves.Register(t);
        FpHandlersInteger.Register(t);
        FpHandlersMmx.Register(t);
        FpHandlersX87.Register(t);
        FpHandlersFloat.Register(t);
    }
}
