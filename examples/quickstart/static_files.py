url_for('static', filename='style.css')
