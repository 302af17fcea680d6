// x87 instructions that run as themselves: all but those that load or store the whole state, BCD, FNINIT and FNCLEX.
using Iced.Intel;

namespace Sharpvisor.Cpu.Translator;

internal static class X87Forms
{
    public static void Register(NativeForm[] t)
    {
        // Iced numbers the escape opcodes D8 to DF without a gap.
        for (Code code = Code.Fadd_m32fp; code <= Code.Fistp_m64int; code++)
        {
            NativeKind kind = KindOf(code);
            if (kind != NativeKind.None)
            {
                OpCodeInfo info = code.ToOpCode();
                t[(int)code] = new NativeForm(kind, info.MemorySize.GetSize(), (int)info.OpCode, Math.Max(info.GroupIndex, 0));
            }
        }

        t[(int)Code.Wait] = new NativeForm(NativeKind.X87Wait, 0, 0);
    }

    private static NativeKind KindOf(Code code)
    {
        switch (code)
        {
            case Code.Fnstsw_AX:
                return NativeKind.X87StatusToAx;
            case Code.Fldcw_m2byte:
                return NativeKind.X87LoadControl;
            case Code.Fnstcw_m2byte or Code.Fnstsw_m2byte:
                return NativeKind.X87StoreControl;
            default:
                break;
        }

        OpCodeInfo info = code.ToOpCode();
        bool memory = info.OpCount > 0 && info.Op0Kind == OpCodeOperandKind.mem;
        switch (code.Mnemonic())
        {
            case Mnemonic.Fcomi or Mnemonic.Fcomip or Mnemonic.Fucomi or Mnemonic.Fucomip:
                return NativeKind.X87Compare;
            case Mnemonic.Fcmovb or Mnemonic.Fcmove or Mnemonic.Fcmovbe or Mnemonic.Fcmovu
                or Mnemonic.Fcmovnb or Mnemonic.Fcmovne or Mnemonic.Fcmovnbe or Mnemonic.Fcmovnu:
                return NativeKind.X87Move;
            case Mnemonic.Fst or Mnemonic.Fstp or Mnemonic.Fist or Mnemonic.Fistp or Mnemonic.Fisttp:
                return memory ? NativeKind.X87Store : NativeKind.X87Register;
            case Mnemonic.Fadd or Mnemonic.Fmul or Mnemonic.Fcom or Mnemonic.Fcomp or Mnemonic.Fsub or Mnemonic.Fsubr
                or Mnemonic.Fdiv or Mnemonic.Fdivr or Mnemonic.Fld or Mnemonic.Fild or Mnemonic.Fiadd or Mnemonic.Fimul
                or Mnemonic.Ficom or Mnemonic.Ficomp or Mnemonic.Fisub or Mnemonic.Fisubr or Mnemonic.Fidiv or Mnemonic.Fidivr:
                return memory ? NativeKind.X87Load : NativeKind.X87Register;
            case Mnemonic.Faddp or Mnemonic.Fmulp or Mnemonic.Fsubp or Mnemonic.Fsubrp or Mnemonic.Fdivp or Mnemonic.Fdivrp
                or Mnemonic.Fcompp or Mnemonic.Fxch or Mnemonic.Fnop or Mnemonic.Fchs or Mnemonic.Fabs or Mnemonic.Ftst
                or Mnemonic.Fxam or Mnemonic.Fld1 or Mnemonic.Fldl2t or Mnemonic.Fldl2e or Mnemonic.Fldpi or Mnemonic.Fldlg2
                or Mnemonic.Fldln2 or Mnemonic.Fldz or Mnemonic.F2xm1 or Mnemonic.Fyl2x or Mnemonic.Fptan or Mnemonic.Fpatan
                or Mnemonic.Fxtract or Mnemonic.Fprem1 or Mnemonic.Fdecstp or Mnemonic.Fincstp or Mnemonic.Fprem
                or Mnemonic.Fyl2xp1 or Mnemonic.Fsqrt or Mnemonic.Fsincos or Mnemonic.Frndint or Mnemonic.Fscale
                or Mnemonic.Fsin or Mnemonic.Fcos or Mnemonic.Fucom or Mnemonic.Fucomp or Mnemonic.Fucompp or Mnemonic.Ffree:
                return NativeKind.X87Register;
            default:
                return NativeKind.None;
        }
    }
}
