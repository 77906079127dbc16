# Sourced by tests of what shows a model: shown_models makes the models to look at here: transformer, dynconv, conv, lstm, loop, bert (bert-base),
# each NAME.onnx, and what else page_models.py writes.  Fails, and says so, without a Python that has onnx.
shown=(transformer dynconv conv lstm loop bert)
shown_models() {
	local python tests
	tests=$(dirname "$(realpath "${BASH_SOURCE[0]}")")
	find_python 'onnx, numpy' || { echo "$(basename "$0" .sh): bert-base and others are skipped, there is no python3 with onnx"; return 1; }
	"$python" "$tests/page_models.py" . || exit 1
	cp "$tests/models/bert.ts/model.onnx" transformer.onnx
	cp "$tests/models/dynconv-taps.ts/model.onnx" dynconv.onnx
}
