from markupsafe import escape

from torsyq import Flask
from torsyq import request

app = Flask(__name__)


@app.get("/")
def hello():
    return f"<h1>Сәлем, {escape(request.args.get('name', 'әлем'))}!</h1>"


@app.get("/ride/<int:days>")
def ride(days):
    return {"days": days, "kilometres": days * 60}


app.get("/yurt")(lambda: "<p>Қош келдіңіз!</p>")
