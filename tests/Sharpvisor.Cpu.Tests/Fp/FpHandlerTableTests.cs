// Every instruction of the features the CPU model offers must have a handler.
using Iced.Intel;
using Sharpvisor.Cpu.Decode;
using Xunit;

namespace Sharpvisor.Cpu.Tests.Fp;

public sealed unsafe class FpHandlerTableTests
{
    [Theory]
    [InlineData(CpuidFeature.FPU)]
    [InlineData(CpuidFeature.FPU387)]
    [InlineData(CpuidFeature.MMX)]
    [InlineData(CpuidFeature.FXSR)]
    [InlineData(CpuidFeature.SSE)]
    [InlineData(CpuidFeature.SSE2)]
    [InlineData(CpuidFeature.SSE3)]
    [InlineData(CpuidFeature.SSSE3)]
    [InlineData(CpuidFeature.SSE4_1)]
    [InlineData(CpuidFeature.AES)]
    [InlineData(CpuidFeature.PCLMULQDQ)]
    [InlineData(CpuidFeature.XSAVEOPT)]
    [InlineData(CpuidFeature.XSAVEC)]
    [InlineData(CpuidFeature.XSAVES)]
    public void Offered_instructions_have_handlers(CpuidFeature feature)
    {
        foreach (Code code in Enum.GetValues<Code>())
        {
            if (code.Encoding() == EncodingKind.Legacy && code.CpuidFeatures().Contains(feature))
            {
                Assert.True(HandlerTable.Instance.Find(code, OpFlags.None) != null, code.ToString());
            }
        }
    }
}
